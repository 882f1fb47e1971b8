-- Run a script of EmuHawk's in plain Lua 5.4 with luasocket (Debian: lua5.4, lua-socket), frame by frame:
--
--   lua5.4 tests/stand_ins/bizhawk_host.lua clients/bizhawk/nitrogen.lua ADDRESS PORT SYSTEM FRAMES PICTURE.png
--
-- The game is a still picture, of 60 frames a second. The script's log and texts are printed when they change, and at
-- the end for how many frames it held each button. The tests use bizhawk_host.py instead, which needs nothing but pip.

local socket = require("socket")

local script, address, port, system, frames, picture = table.unpack(arg)
if not picture then
  print("usage: lua5.4 bizhawk_host.lua SCRIPT ADDRESS PORT SYSTEM FRAMES PICTURE.png")
  os.exit(2)
end

local CONTROLLERS = {
  NES = "P1 Up|P1 Down|P1 Left|P1 Right|P1 A|P1 B|P1 Start|P1 Select",
  SNES = "P1 Up|P1 Down|P1 Left|P1 Right|P1 A|P1 B|P1 X|P1 Y|P1 L|P1 R|P1 Start|P1 Select",
  GB = "Up|Down|Left|Right|A|B|Start|Select",
  GBA = "Up|Down|Left|Right|A|B|L|R|Start|Select",
  GEN = "P1 Up|P1 Down|P1 Left|P1 Right|P1 A|P1 B|P1 C|P1 X|P1 Y|P1 Z|P1 Start|P1 Mode",
  N64 = "P1 DPad U|P1 DPad D|P1 DPad L|P1 DPad R|P1 A|P1 B|P1 Z|P1 L|P1 R|P1 C Up|P1 C Down|P1 C Left|P1 C Right|"
    .. "P1 Start|P1 X Axis|P1 Y Axis",
  PSX = "P1 D-Pad Up|P1 D-Pad Down|P1 D-Pad Left|P1 D-Pad Right|P1 X|P1 ○|P1 □|P1 △|P1 L1|P1 R1|P1 L2|P1 R2|"
    .. "P1 Left Stick, Button|P1 Right Stick, Button|P1 Start|P1 Select|P1 Left Stick Left / Right|"
    .. "P1 Left Stick Up / Down|P1 Right Stick Left / Right|P1 Right Stick Up / Down",
}

local controller, held, sticks = {}, {}, {}
for name in CONTROLLERS[system]:gmatch("[^|]+") do
  controller[name] = false
end

local file = assert(io.open(picture, "rb"))
local png = file:read("a")
file:close()

local tcp

local function connect()
  if tcp then tcp:close() end
  tcp = socket.tcp4()
  local connected, why = tcp:connect(address, port)
  if not connected then error("SocketException: " .. why) end
end

local function send(payload)
  local sent = tcp:send(#payload .. " " .. payload)
  return sent or -1
end

local function response()
  local digits = ""
  while true do
    local char = tcp:receive(1)
    if not char then return "" end
    if char == " " then break end
    digits = digits .. char
  end
  return tcp:receive(tonumber(digits)) or ""
end

local shown, texts = "", {}

local function say(text)
  print(text)
  io.stdout:flush()
end

comm = {
  socketServerGetIp = function() return address end,
  socketServerGetPort = function() return tonumber(port) end,
  socketServerGetInfo = function() return address .. ":" .. port end,
  socketServerSetPort = connect,
  socketServerSetTimeout = function(ms) tcp:settimeout(ms / 1000) end,
  socketServerSend = send,
  socketServerResponse = response,
  socketServerScreenShot = function()
    for _ = 1, 10 do
      if send(png) > 0 then return "Screenshot was sent" end
      connect()
    end
    return "Screenshot could not be sent"
  end,
}
console = { log = function(text) say("log: " .. text) end }
emu = { getsystemid = function() return system end, frameadvance = coroutine.yield }
event = { onexit = function() end }
gui = {
  cleartext = function() texts = {} end,
  text = function(_, _, text) texts[#texts + 1] = text end,
}
input = { get = function() return {} end }
joypad = {
  get = function() return controller end,
  set = function(buttons)
    for name, is_held in pairs(buttons) do
      if is_held then held[name] = (held[name] or 0) + 1 end
    end
  end,
  setanalog = function(axes)
    for name, value in pairs(axes) do
      sticks[name] = value
    end
  end,
}

connect()
local began = socket.gettime()
local game = coroutine.create(assert(loadfile(script)))
for frame = 1, tonumber(frames) do
  local alive, why = coroutine.resume(game)
  if not alive then error("frame " .. frame .. ": " .. tostring(why)) end
  socket.sleep(1 / 60)
  local heading = (texts[1] or ""):gsub("%d+", "N")
  if heading ~= shown then say("frame " .. frame .. ": " .. table.concat(texts, " | ")) end
  shown = heading
end

local names = {}
for name in pairs(controller) do
  names[#names + 1] = name
end
table.sort(names)
for _, name in ipairs(names) do
  say(string.format("%-32s %s", name, sticks[name] or held[name] or "-"))
end
say(string.format("%s frames in %.1f s", frames, socket.gettime() - began))
