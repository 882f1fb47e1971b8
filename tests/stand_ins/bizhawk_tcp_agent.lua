-- A script of the older kind, as people have them: .NET's TcpClient by luanet, a temporary file, one read a reply.
-- CONSOLE and PORT are globals here; such scripts have them at their top.

luanet.load_assembly("System")
local TcpClient = luanet.import_type("System.Net.Sockets.TcpClient")
local File = luanet.import_type("System.IO.File")
local Encoding = luanet.import_type("System.Text.Encoding")
local Bytes = luanet.import_type("System.Byte[]")

local SCREENSHOT = "nitrogen_temp.png"
local HELD = {
  NES = { A = 19, B = 6, Up = 5, Down = 2, Left = 3, Right = 4, Start = 20, Select = 1 },
  SNES = {
    A = 19, B = 6, X = 11, Y = 21, L = 8, R = 15, Up = 5, Down = 2, Left = 3, Right = 4, Start = 20, Select = 1,
  },
}
local RESIZE_MODES = { NES = "crop", SNES = "pad" }

-- All that looks like a number from "key":[ up to the end of its arrays.
local function numbers_of(reply, key)
  local numbers = {}
  local _, start = reply:find('"' .. key .. '":%s*%[')
  if not start then return numbers end
  local depth, stop = 1, start
  while depth > 0 and stop < #reply do
    stop = stop + 1
    local char = reply:sub(stop, stop)
    depth = depth + (char == "[" and 1 or char == "]" and -1 or 0)
  end
  for number in reply:sub(start, stop):gmatch("[%-%d%.]+") do
    numbers[#numbers + 1] = tonumber(number)
  end
  return numbers
end

local tcp = TcpClient()
if not pcall(function() tcp:Connect("127.0.0.1", PORT) end) then
  console.log("Connection failed")
  return
end
tcp.ReceiveTimeout = 5000
tcp.SendTimeout = 5000
local stream = tcp:GetStream()
local buffer = Bytes(4096)

while tcp.Connected do
  client.screenshot(SCREENSHOT)
  local file = File.ReadAllBytes(SCREENSHOT)
  local line = string.format('{"type": "predict", "len": %d, "resize_mode": "%s"%s}\n',
    file.Length, RESIZE_MODES[CONSOLE], EXTRA)
  local header = Encoding.ASCII:GetBytes(line)
  stream:Write(header, 0, header.Length)
  stream:Write(file, 0, file.Length)

  local count = stream:Read(buffer, 0, buffer.Length)
  if count == 0 then break end
  local reply = Encoding.ASCII:GetString(buffer, 0, count)
  local buttons, sticks = numbers_of(reply, "buttons"), numbers_of(reply, "j_left")
  local steps = math.floor(#buttons / 21)
  gui.drawText(0, 0, "steps: " .. steps, "green")
  if steps == 0 then emu.frameadvance() end
  for step = 0, steps - 1 do
    local joy = {}
    for name, column in pairs(HELD[CONSOLE]) do
      joy["P1 " .. name] = buttons[step * 21 + column] > 0.5
    end
    local x, y = sticks[step * 2 + 1], sticks[step * 2 + 2]
    joy["P1 Left"] = joy["P1 Left"] or x < -0.5
    joy["P1 Right"] = joy["P1 Right"] or x > 0.5
    joy["P1 Up"] = joy["P1 Up"] or y < -0.5
    joy["P1 Down"] = joy["P1 Down"] or y > 0.5
    joypad.set(joy)
    emu.frameadvance()
  end
end

tcp:Close()
console.log("Disconnected")
