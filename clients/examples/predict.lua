-- Ask a NitroGen gateway for the actions for one picture. Lua 5.1 to 5.4 with luasocket.
--
--     lua predict.lua FILE [HOST [PORT]]
--
-- FILE: a PNG, JPEG, BMP or WebP picture, or 196,608 bytes of raw RGB (256x256, row by row).
-- Debian: apt install lua5.4 lua-socket. In BizHawk use ../bizhawk/nitrogen.lua, which needs no luasocket.

local socket = require("socket")
local unpack = table.unpack or unpack -- Lua 5.1 has it there

local BUTTONS = {
  "BACK", "DPAD_DOWN", "DPAD_LEFT", "DPAD_RIGHT", "DPAD_UP", "EAST", "GUIDE", "LEFT_SHOULDER", "LEFT_THUMB",
  "LEFT_TRIGGER", "NORTH", "RIGHT_BOTTOM", "RIGHT_LEFT", "RIGHT_RIGHT", "RIGHT_SHOULDER", "RIGHT_THUMB",
  "RIGHT_TRIGGER", "RIGHT_UP", "SOUTH", "START", "WEST",
}
local TIMEOUT_S = 10 -- the gateway answers within 4 s, if need be with an error
local TRIES = 3
local MAX_REPLY = 65536 -- bytes; a gateway's are much shorter

-- Connect; nil and the reason if that fails. A game keeps its connection, to which the model's memory belongs.
local function connect(host, port)
  local tcp = socket.tcp()
  tcp:settimeout(TIMEOUT_S)
  local connected, why = tcp:connect(host, port)
  if not connected then
    tcp:close()
    return nil, why
  end
  return tcp
end

-- Send one picture and return the reply's line, or nil and the reason.
local function ask(tcp, image)
  local header = string.format('{"type": "predict", "len": %d}\n', #image)
  local sent, why = tcp:send(header .. image)
  if not sent then return nil, why end
  local bytes, byte = {}
  local deadline = socket.gettime() + TIMEOUT_S
  repeat
    if socket.gettime() > deadline then return nil, "timeout" end
    byte, why = tcp:receive(1) -- luasocket has a buffer of its own
    if not byte then return nil, why end
    bytes[#bytes + 1] = byte
  until byte == "\n" or #bytes == MAX_REPLY
  return table.concat(bytes)
end

-- Return the first step's numbers of a part of the reply: "buttons", "j_left" or "j_right". The gateway writes JSON
-- without blanks and exponents, so patterns are enough to read it. Raises an error if there are no numbers.
local function first_step(reply, part)
  local numbers = {}
  for number in reply:match('"' .. part .. '":%[%[([-%d.,]+)%]'):gmatch("[^,]+") do
    numbers[#numbers + 1] = tonumber(number)
  end
  return numbers
end

-- Return a chunk's first step as text.
local function described(reply)
  local pressed = {}
  for column, value in ipairs(first_step(reply, "buttons")) do
    if value == 1 then pressed[#pressed + 1] = BUTTONS[column] end
  end
  local _, steps = reply:match('"buttons":%[(.-)%]%]'):gsub("%[", "")
  return table.concat({
    steps .. " steps; the first:",
    "  buttons       " .. (#pressed > 0 and table.concat(pressed, " ") or "none"),
    string.format("  left stick    x %.3f, y %.3f", unpack(first_step(reply, "j_left"))),
    string.format("  right stick   x %.3f, y %.3f", unpack(first_step(reply, "j_right"))),
  }, "\n")
end

-- Print what a reply's line says, and return the exit status.
local function show(reply, server)
  if reply:find('^{"status":"ok"') then
    local is_whole, text = pcall(described, reply)
    if is_whole then
      print(text)
      return 0
    end
  end
  local message = reply:match('^{"status":"error".-"message":"(.-[^\\])"')
  if message then
    io.stderr:write("the gateway says: " .. message:gsub('\\(["\\/])', "%1") .. "\n")
    return 1
  end
  local begins = reply:sub(1, 60):gsub("%s+$", ""):gsub("[^ -~]", "?")
  io.stderr:write(string.format('%s is not a NitroGen gateway\'s TCP port: it answers "%s"\n', server, begins))
  return 2
end

-- Ask, and try again if the connection is lost; return the exit status.
local function main(path, host, port)
  local file, problem = io.open(path, "rb")
  local image
  if file then
    image, problem = file:read("*a")
    file:close()
  end
  if not image then
    problem = problem:gsub("^.*: ", "") -- of a file that cannot be opened, it begins with the path
    io.stderr:write(string.format("the picture %s cannot be read: %s\n", path, problem))
    return 2
  end
  for number = 1, TRIES do
    local reply
    local tcp, why = connect(host, port)
    if tcp then
      reply, why = ask(tcp, image)
      tcp:close()
    end
    if reply then return show(reply, host .. ":" .. port) end
    io.stderr:write(string.format("no answer from %s:%d, try %d of %d: %s\n", host, port, number, TRIES, why))
    if number < TRIES then socket.sleep(1) end
  end
  return 2
end

local port = tonumber(arg[3] or 5556)
if #arg < 1 or #arg > 3 or not port then
  io.stderr:write("usage: lua predict.lua FILE [HOST [PORT]]\n")
  os.exit(2)
end
os.exit(main(arg[1], arg[2] or "127.0.0.1", port))
