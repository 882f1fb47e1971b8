-- NitroGen plays the game that runs in EmuHawk (BizHawk 2.9 and newer, Windows and Linux).
--
-- Start EmuHawk with --socket_ip=GATEWAY --socket_port=5556, open a game, and open this file in Tools > Lua Console.
-- README.md beside this file says more. You can change these options:

local OPTIONS = {
  take_over_key = "Home", -- press it to play yourself, and again to let the model play; named as in EmuHawk's input.get
  allow_menu = false, -- true: the model may press Start and Select
  frames_per_step = 1, -- hold each step of an answer for this many frames
  steps_per_answer = 0, -- play only this many steps of each answer, to ask more often; 0: all of them

  resize_mode = nil, -- "pad", "crop" or "stretch"; nil: as the table below says for the console
  game = nil, -- for models that know games: a name or an id
  model = nil, -- a model's name; nil: the gateway's default
  seed = nil, -- a number: the same picture gets the same actions
  noise = "fresh", -- { memory = 0.9 }: the model changes its mind less often; 0: as "fresh", 1: the least
  token_file = nil, -- a file that holds the token, where the gateway wants one

  console = nil, -- a name from the table below, for instance "psx_digital"; nil: chosen by the running game
  buttons = {}, -- a different mapping, for instance { A = { "EAST" }, B = { "SOUTH" } }
  y_is_up = false, -- true: the model's sticks are positive upwards; no known model has this
  player = 1, -- which controller

  timeout_ms = 6000, -- how long to wait for an answer; keep it above the gateway's --tcp-deadline-s
  retry_frames = 300, -- frames until the next try after the connection was lost
  error_frames = 60, -- frames until the next try after an error from the gateway
  text_x = 4, -- where the script's own text is, in pixels of the window
  text_y = 4,
}

-- BEGIN consoles.toml (by embed_table.py: change consoles.toml instead)
local STICK_THRESHOLD = 0.5
local CONSOLES = {
  {
    name = "nes",
    title = "NES",
    systems = { "NES" },
    resize_mode = "crop",
    buttons = {
      { name = "Up", pad = { "DPAD_UP", "LEFT_STICK_UP" }, names = { "Up" } },
      { name = "Down", pad = { "DPAD_DOWN", "LEFT_STICK_DOWN" }, names = { "Down" } },
      { name = "Left", pad = { "DPAD_LEFT", "LEFT_STICK_LEFT" }, names = { "Left" } },
      { name = "Right", pad = { "DPAD_RIGHT", "LEFT_STICK_RIGHT" }, names = { "Right" } },
      { name = "A", pad = { "SOUTH" }, names = { "A" } },
      { name = "B", pad = { "EAST", "WEST" }, names = { "B" } },
      { name = "Start", pad = { "START" }, names = { "Start" }, menu = true },
      { name = "Select", pad = { "BACK" }, names = { "Select" }, menu = true },
    },
    axes = {},
  },
  {
    name = "snes",
    title = "SNES",
    systems = { "SNES" },
    resize_mode = "pad",
    buttons = {
      { name = "Up", pad = { "DPAD_UP", "LEFT_STICK_UP" }, names = { "Up" } },
      { name = "Down", pad = { "DPAD_DOWN", "LEFT_STICK_DOWN" }, names = { "Down" } },
      { name = "Left", pad = { "DPAD_LEFT", "LEFT_STICK_LEFT" }, names = { "Left" } },
      { name = "Right", pad = { "DPAD_RIGHT", "LEFT_STICK_RIGHT" }, names = { "Right" } },
      { name = "B", pad = { "SOUTH" }, names = { "B" } },
      { name = "A", pad = { "EAST" }, names = { "A" } },
      { name = "Y", pad = { "WEST" }, names = { "Y" } },
      { name = "X", pad = { "NORTH" }, names = { "X" } },
      { name = "L", pad = { "LEFT_SHOULDER", "LEFT_TRIGGER" }, names = { "L" } },
      { name = "R", pad = { "RIGHT_SHOULDER", "RIGHT_TRIGGER" }, names = { "R" } },
      { name = "Start", pad = { "START" }, names = { "Start" }, menu = true },
      { name = "Select", pad = { "BACK" }, names = { "Select" }, menu = true },
    },
    axes = {},
  },
  {
    name = "gameboy",
    title = "Game Boy, Game Boy Color",
    systems = { "GB", "GBC", "SGB" },
    resize_mode = "pad",
    buttons = {
      { name = "Up", pad = { "DPAD_UP", "LEFT_STICK_UP" }, names = { "Up" } },
      { name = "Down", pad = { "DPAD_DOWN", "LEFT_STICK_DOWN" }, names = { "Down" } },
      { name = "Left", pad = { "DPAD_LEFT", "LEFT_STICK_LEFT" }, names = { "Left" } },
      { name = "Right", pad = { "DPAD_RIGHT", "LEFT_STICK_RIGHT" }, names = { "Right" } },
      { name = "A", pad = { "SOUTH" }, names = { "A" } },
      { name = "B", pad = { "EAST", "WEST" }, names = { "B" } },
      { name = "Start", pad = { "START" }, names = { "Start" }, menu = true },
      { name = "Select", pad = { "BACK" }, names = { "Select" }, menu = true },
    },
    axes = {},
  },
  {
    name = "gba",
    title = "Game Boy Advance",
    systems = { "GBA" },
    resize_mode = "pad",
    buttons = {
      { name = "Up", pad = { "DPAD_UP", "LEFT_STICK_UP" }, names = { "Up" } },
      { name = "Down", pad = { "DPAD_DOWN", "LEFT_STICK_DOWN" }, names = { "Down" } },
      { name = "Left", pad = { "DPAD_LEFT", "LEFT_STICK_LEFT" }, names = { "Left" } },
      { name = "Right", pad = { "DPAD_RIGHT", "LEFT_STICK_RIGHT" }, names = { "Right" } },
      { name = "A", pad = { "SOUTH" }, names = { "A" } },
      { name = "B", pad = { "EAST", "WEST" }, names = { "B" } },
      { name = "L", pad = { "LEFT_SHOULDER", "LEFT_TRIGGER" }, names = { "L" } },
      { name = "R", pad = { "RIGHT_SHOULDER", "RIGHT_TRIGGER" }, names = { "R" } },
      { name = "Start", pad = { "START" }, names = { "Start" }, menu = true },
      { name = "Select", pad = { "BACK" }, names = { "Select" }, menu = true },
    },
    axes = {},
  },
  {
    name = "megadrive",
    title = "Mega Drive (Genesis)",
    systems = { "GEN", "32X" },
    resize_mode = "pad",
    buttons = {
      { name = "Up", pad = { "DPAD_UP", "LEFT_STICK_UP" }, names = { "Up" } },
      { name = "Down", pad = { "DPAD_DOWN", "LEFT_STICK_DOWN" }, names = { "Down" } },
      { name = "Left", pad = { "DPAD_LEFT", "LEFT_STICK_LEFT" }, names = { "Left" } },
      { name = "Right", pad = { "DPAD_RIGHT", "LEFT_STICK_RIGHT" }, names = { "Right" } },
      { name = "A", pad = { "WEST" }, names = { "A" } },
      { name = "B", pad = { "SOUTH" }, names = { "B" } },
      { name = "C", pad = { "EAST" }, names = { "C" } },
      { name = "X", pad = { "LEFT_SHOULDER", "LEFT_TRIGGER" }, names = { "X" } },
      { name = "Y", pad = { "NORTH" }, names = { "Y" } },
      { name = "Z", pad = { "RIGHT_SHOULDER", "RIGHT_TRIGGER" }, names = { "Z" } },
      { name = "Start", pad = { "START" }, names = { "Start" }, menu = true },
      { name = "Mode", pad = { "BACK" }, names = { "Mode" }, menu = true },
    },
    axes = {},
  },
  {
    name = "n64",
    title = "Nintendo 64",
    systems = { "N64" },
    resize_mode = "pad",
    buttons = {
      { name = "Up", pad = { "DPAD_UP" }, names = { "DPad U" } },
      { name = "Down", pad = { "DPAD_DOWN" }, names = { "DPad D" } },
      { name = "Left", pad = { "DPAD_LEFT" }, names = { "DPad L" } },
      { name = "Right", pad = { "DPAD_RIGHT" }, names = { "DPad R" } },
      { name = "A", pad = { "SOUTH" }, names = { "A" } },
      { name = "B", pad = { "WEST", "EAST" }, names = { "B" } },
      { name = "Z", pad = { "LEFT_TRIGGER", "RIGHT_TRIGGER" }, names = { "Z" } },
      { name = "L", pad = { "LEFT_SHOULDER" }, names = { "L" } },
      { name = "R", pad = { "RIGHT_SHOULDER" }, names = { "R" } },
      { name = "C_Up", pad = { "RIGHT_UP", "RIGHT_STICK_UP", "NORTH" }, names = { "C Up" } },
      { name = "C_Down", pad = { "RIGHT_BOTTOM", "RIGHT_STICK_DOWN" }, names = { "C Down" } },
      { name = "C_Left", pad = { "RIGHT_LEFT", "RIGHT_STICK_LEFT" }, names = { "C Left" } },
      { name = "C_Right", pad = { "RIGHT_RIGHT", "RIGHT_STICK_RIGHT" }, names = { "C Right" } },
      { name = "Start", pad = { "START" }, names = { "Start" }, menu = true },
    },
    axes = {
      { stick = "LEFT_X", names = { "X Axis" }, low = -128, rest = 0, high = 127 },
      { stick = "LEFT_Y", names = { "Y Axis" }, low = 127, rest = 0, high = -128 },
    },
  },
  {
    name = "n64_digital",
    title = "Nintendo 64 without its stick",
    systems = {},
    resize_mode = "pad",
    buttons = {
      { name = "Up", pad = { "DPAD_UP", "LEFT_STICK_UP" }, names = { "DPad U" } },
      { name = "Down", pad = { "DPAD_DOWN", "LEFT_STICK_DOWN" }, names = { "DPad D" } },
      { name = "Left", pad = { "DPAD_LEFT", "LEFT_STICK_LEFT" }, names = { "DPad L" } },
      { name = "Right", pad = { "DPAD_RIGHT", "LEFT_STICK_RIGHT" }, names = { "DPad R" } },
      { name = "A", pad = { "SOUTH" }, names = { "A" } },
      { name = "B", pad = { "WEST", "EAST" }, names = { "B" } },
      { name = "Z", pad = { "LEFT_TRIGGER", "RIGHT_TRIGGER" }, names = { "Z" } },
      { name = "L", pad = { "LEFT_SHOULDER" }, names = { "L" } },
      { name = "R", pad = { "RIGHT_SHOULDER" }, names = { "R" } },
      { name = "C_Up", pad = { "RIGHT_UP", "RIGHT_STICK_UP", "NORTH" }, names = { "C Up" } },
      { name = "C_Right", pad = { "RIGHT_RIGHT", "RIGHT_STICK_RIGHT" }, names = { "C Right" } },
      { name = "Start", pad = { "START" }, names = { "Start" }, menu = true },
    },
    axes = {},
  },
  {
    name = "psx",
    title = "PlayStation, DualShock",
    systems = { "PSX" },
    resize_mode = "pad",
    buttons = {
      { name = "Up", pad = { "DPAD_UP", "LEFT_STICK_UP" }, names = { "D-Pad Up", "Up" } },
      { name = "Down", pad = { "DPAD_DOWN", "LEFT_STICK_DOWN" }, names = { "D-Pad Down", "Down" } },
      { name = "Left", pad = { "DPAD_LEFT", "LEFT_STICK_LEFT" }, names = { "D-Pad Left", "Left" } },
      { name = "Right", pad = { "DPAD_RIGHT", "LEFT_STICK_RIGHT" }, names = { "D-Pad Right", "Right" } },
      { name = "Cross", pad = { "SOUTH" }, names = { "X", "Cross" } },
      { name = "Circle", pad = { "EAST" }, names = { "○", "Circle" } },
      { name = "Square", pad = { "WEST" }, names = { "□", "Square" } },
      { name = "Triangle", pad = { "NORTH" }, names = { "△", "Triangle" } },
      { name = "L1", pad = { "LEFT_SHOULDER" }, names = { "L1" } },
      { name = "R1", pad = { "RIGHT_SHOULDER" }, names = { "R1" } },
      { name = "L2", pad = { "LEFT_TRIGGER" }, names = { "L2" } },
      { name = "R2", pad = { "RIGHT_TRIGGER" }, names = { "R2" } },
      { name = "L3", pad = { "LEFT_THUMB" }, names = { "Left Stick, Button", "L3" } },
      { name = "R3", pad = { "RIGHT_THUMB" }, names = { "Right Stick, Button", "R3" } },
      { name = "Start", pad = { "START" }, names = { "Start" }, menu = true },
      { name = "Select", pad = { "BACK" }, names = { "Select" }, menu = true },
    },
    axes = {
      { stick = "LEFT_X", names = { "Left Stick Left / Right", "LStick X" }, low = 0, rest = 128, high = 255 },
      { stick = "LEFT_Y", names = { "Left Stick Up / Down", "LStick Y" }, low = 0, rest = 128, high = 255 },
      { stick = "RIGHT_X", names = { "Right Stick Left / Right", "RStick X" }, low = 0, rest = 128, high = 255 },
      { stick = "RIGHT_Y", names = { "Right Stick Up / Down", "RStick Y" }, low = 0, rest = 128, high = 255 },
    },
  },
  {
    name = "psx_digital",
    title = "PlayStation, digital pad",
    systems = { "PSX" },
    resize_mode = "pad",
    buttons = {
      { name = "Up", pad = { "DPAD_UP", "LEFT_STICK_UP" }, names = { "D-Pad Up", "Up" } },
      { name = "Down", pad = { "DPAD_DOWN", "LEFT_STICK_DOWN" }, names = { "D-Pad Down", "Down" } },
      { name = "Left", pad = { "DPAD_LEFT", "LEFT_STICK_LEFT" }, names = { "D-Pad Left", "Left" } },
      { name = "Right", pad = { "DPAD_RIGHT", "LEFT_STICK_RIGHT" }, names = { "D-Pad Right", "Right" } },
      { name = "Cross", pad = { "SOUTH" }, names = { "X", "Cross" } },
      { name = "Circle", pad = { "EAST" }, names = { "○", "Circle" } },
      { name = "Square", pad = { "WEST" }, names = { "□", "Square" } },
      { name = "Triangle", pad = { "NORTH" }, names = { "△", "Triangle" } },
      { name = "L1", pad = { "LEFT_SHOULDER" }, names = { "L1" } },
      { name = "R1", pad = { "RIGHT_SHOULDER" }, names = { "R1" } },
      { name = "L2", pad = { "LEFT_TRIGGER" }, names = { "L2" } },
      { name = "R2", pad = { "RIGHT_TRIGGER" }, names = { "R2" } },
      { name = "Start", pad = { "START" }, names = { "Start" }, menu = true },
      { name = "Select", pad = { "BACK" }, names = { "Select" }, menu = true },
    },
    axes = {},
  },
}
-- END consoles.toml

-- The 21 columns of a reply's buttons.
local COLUMNS = {
  "BACK", "DPAD_DOWN", "DPAD_LEFT", "DPAD_RIGHT", "DPAD_UP", "EAST", "GUIDE", "LEFT_SHOULDER", "LEFT_THUMB",
  "LEFT_TRIGGER", "NORTH", "RIGHT_BOTTOM", "RIGHT_LEFT", "RIGHT_RIGHT", "RIGHT_SHOULDER", "RIGHT_THUMB",
  "RIGHT_TRIGGER", "RIGHT_UP", "SOUTH", "START", "WEST",
}

local model_plays = true
local key_was_down = false
local fresh = true -- the model has to forget the frames that it has seen
local connected = false
local worked = false -- an answer has come on this connection
local pad = nil -- the running game's controller, as the model plays it
local answers = 0
local latency = ""
local logged = nil

-- JSON -----------------------------------------------------------------------------------------------------------

local decode_value

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function decode_string(text, at)
  local parts, from = {}, at + 1
  while true do
    local stop = text:find('["\\]', from)
    if not stop then error("a string does not end") end
    parts[#parts + 1] = text:sub(from, stop - 1)
    if text:sub(stop, stop) == '"' then return table.concat(parts), stop + 1 end
    local escape = text:sub(stop + 1, stop + 1)
    if escape == "u" then
      parts[#parts + 1] = utf8.char(tonumber(text:sub(stop + 2, stop + 5), 16))
      from = stop + 6
    else
      parts[#parts + 1] = ESCAPES[escape] or escape
      from = stop + 2
    end
  end
end

local function decode_items(text, at, close, read_item)
  local items = {}
  at = text:match("^%s*()", at + 1)
  while text:sub(at, at) ~= close do
    at = text:match("^%s*()", read_item(items, at))
    local after = text:sub(at, at)
    if after == "," then
      at = text:match("^%s*()", at + 1)
    elseif after ~= close then
      error("a comma is missing")
    end
  end
  return items, at + 1
end

function decode_value(text, at)
  local first = text:sub(at, at)
  if first == "{" then
    return decode_items(text, at, "}", function(items, from)
      local key, value
      key, from = decode_string(text, from)
      value, from = decode_value(text, text:match("^%s*:%s*()", from))
      items[key] = value
      return from
    end)
  elseif first == "[" then
    return decode_items(text, at, "]", function(items, from)
      items[#items + 1], from = decode_value(text, from)
      return from
    end)
  elseif first == '"' then
    return decode_string(text, at)
  end
  local word = text:match("^[%w%+%-%.]+", at) or error("not JSON")
  if word == "true" or word == "false" then return word == "true", at + #word end
  if word == "null" then return nil, at + #word end
  return tonumber(word) or error("not JSON"), at + #word
end

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(char) return string.format("\\u%04x", char:byte()) end) .. '"'
end

-- The console's controller ----------------------------------------------------------------------------------------

local function contains(list, wanted)
  for _, item in ipairs(list) do
    if item == wanted then return true end
  end
  return false
end

-- Return the first of the names that the core's controller has, or nil.
local function real_name(names, controller)
  for _, name in ipairs(names) do
    local numbered = "P" .. OPTIONS.player .. " " .. name
    if controller[numbered] ~= nil then return numbered end
    if controller[name] ~= nil then return name end
  end
  return nil
end

-- Return a console's table with the core's own names in it: { console, buttons, axes }.
local function fitted(console, controller)
  local fit = { console = console, buttons = {}, axes = {} }
  for _, button in ipairs(console.buttons) do
    local name = real_name(button.names, controller)
    if name and (OPTIONS.allow_menu or not button.menu) then
      fit.buttons[#fit.buttons + 1] = { name = name, pad = OPTIONS.buttons[button.name] or button.pad }
    end
  end
  for _, axis in ipairs(console.axes) do
    local name = real_name(axis.names, controller)
    if name then fit.axes[#fit.axes + 1] = { name = name, axis = axis } end
  end
  return fit
end

-- Return the mistake in the option `buttons` for a console, or nil.
local function mistake(console)
  local known = {}
  for _, button in ipairs(console.buttons) do
    known[button.name] = true
  end
  for name, sources in pairs(OPTIONS.buttons) do
    if not known[name] then return "buttons in OPTIONS: " .. console.title .. " has no " .. name end
    for _, source in ipairs(sources) do
      if not contains(COLUMNS, source) and not source:match("^%u+_STICK_%u+$") then
        return "buttons in OPTIONS: the model has no " .. source
      end
    end
  end
  return nil
end

-- Return the controller of the running game, or nil and the reason.
local function find_pad()
  local system = emu.getsystemid()
  if system == "NULL" then return nil, "open a game" end
  local controller = joypad.get()
  for _, console in ipairs(CONSOLES) do
    if OPTIONS.console == console.name or not OPTIONS.console and contains(console.systems, system) then
      local fit = fitted(console, controller)
      if #fit.buttons > 0 and (OPTIONS.console or #fit.axes == #console.axes) then
        local why = mistake(console)
        return not why and fit or nil, why
      end
    end
  end
  return nil, "no console of the table has " .. system .. "'s buttons: set console in OPTIONS"
end

local function hold_cross(held, stick, x, y)
  if x <= -STICK_THRESHOLD then held[stick .. "_LEFT"] = true end
  if x >= STICK_THRESHOLD then held[stick .. "_RIGHT"] = true end
  if y <= -STICK_THRESHOLD then held[stick .. "_UP"] = true end
  if y >= STICK_THRESHOLD then held[stick .. "_DOWN"] = true end
end

local function axis_value(axis, position)
  local far = position < 0 and axis.low or axis.high
  return math.floor(axis.rest + math.abs(position) * (far - axis.rest) + 0.5)
end

-- Return one step of a reply in the form that joypad.set and joypad.setanalog take.
local function pressed(pred, step)
  local y_sign = OPTIONS.y_is_up and -1 or 1
  local left, right = pred.j_left[step], pred.j_right[step]
  local sticks = { LEFT_X = left[1], LEFT_Y = y_sign * left[2], RIGHT_X = right[1], RIGHT_Y = y_sign * right[2] }
  local held, buttons, axes = {}, {}, {}
  for column, name in ipairs(COLUMNS) do
    held[name] = pred.buttons[step][column] > 0.5
  end
  hold_cross(held, "LEFT_STICK", sticks.LEFT_X, sticks.LEFT_Y)
  hold_cross(held, "RIGHT_STICK", sticks.RIGHT_X, sticks.RIGHT_Y)
  for _, button in ipairs(pad.buttons) do
    buttons[button.name] = false
    for _, name in ipairs(button.pad) do
      buttons[button.name] = buttons[button.name] or held[name] == true
    end
  end
  for _, fit in ipairs(pad.axes) do
    axes[fit.name] = axis_value(fit.axis, sticks[fit.axis.stick])
  end
  return buttons, axes
end

-- Give the sticks back: they stay where they were put, while buttons are the player's again at the next frame.
local function let_go()
  local axes = {}
  for _, fit in ipairs(pad and pad.axes or {}) do
    axes[fit.name] = ""
  end
  if next(axes) then joypad.setanalog(axes) end
end

-- The screen ------------------------------------------------------------------------------------------------------

local function show(color, ...)
  gui.cleartext()
  for line, text in ipairs({ ... }) do
    gui.text(OPTIONS.text_x, OPTIONS.text_y + 16 * (line - 1), text, color)
  end
end

-- Write a line to the Lua Console, which shows all of it, unless it is the same as the last one.
local function log(text)
  if text ~= logged then console.log("NitroGen: " .. text) end
  logged = text
end

-- Let one frame pass. The take-over key counts when it goes down.
local function next_frame()
  emu.frameadvance()
  local is_down = input.get()[OPTIONS.take_over_key] == true
  if is_down and not key_was_down then
    model_plays = not model_plays
    fresh = true
  end
  key_was_down = is_down
end

-- Let the player play until the next try.
local function wait(frames, text)
  let_go()
  for frame = frames, 1, -1 do
    show("red", "NitroGen: " .. text:sub(1, 100), string.format("next try in %d frames", frame))
    next_frame()
    if not model_plays then return end
  end
end

-- The gateway -----------------------------------------------------------------------------------------------------

-- Raise an error, which questions the port until an answer has come from it.
local function lost(why)
  local doubt = string.format("; is %d its TCP port (usually 5556)?", comm.socketServerGetPort())
  error(why .. (answers > 0 and "" or doubt), 0)
end

local function send(text)
  if comm.socketServerSend(text) <= 0 then lost("the connection is lost") end
end

-- Return whether a reply has actions for one step or more: rows of 2, 2 and 21 numbers.
local function is_playable(pred)
  if type(pred) ~= "table" or type(pred.buttons) ~= "table" or #pred.buttons == 0 then return false end
  for name, width in pairs({ j_left = 2, j_right = 2, buttons = #COLUMNS }) do
    for step = 1, #pred.buttons do
      local row = type(pred[name]) == "table" and pred[name][step]
      if type(row) ~= "table" then return false end
      for column = 1, width do
        if type(row[column]) ~= "number" then return false end
      end
    end
  end
  return true
end

-- Return the next reply. EmuHawk forgets the timeout whenever it connects, which it also does by itself.
local function receive()
  comm.socketServerSetTimeout(OPTIONS.timeout_ms)
  local text = comm.socketServerResponse()
  if not text or text == "" then lost("no answer came") end
  local reply = decode_value(text, 1)
  if type(reply) ~= "table" or not reply.status then error("the answer is not a gateway's: " .. text:sub(1, 60), 0) end
  if reply.status == "ok" and reply.pred ~= nil and not is_playable(reply.pred) then
    return { status = "error", message = "the answer's actions cannot be played: " .. text:sub(1, 60) }
  end
  return reply
end

local function options_command(console)
  local fields = { '"type": "options", "timing": true' }
  for _, name in ipairs({ "resize_mode", "game", "model", "seed" }) do
    local value = OPTIONS[name] or name == "resize_mode" and console.resize_mode or nil
    if value then
      fields[#fields + 1] = quoted(name) .. ": " .. (type(value) == "number" and value or quoted(value))
    end
  end
  if OPTIONS.noise ~= "fresh" then
    local memory = type(OPTIONS.noise) == "table" and tonumber(OPTIONS.noise.memory)
    fields[#fields + 1] = '"noise": ' .. (memory and '{"memory": ' .. memory .. "}" or quoted(tostring(OPTIONS.noise)))
  end
  return "{" .. table.concat(fields, ", ") .. "}"
end

-- Connect again, so that no options or frames of another script are on the connection.
local function connect()
  comm.socketServerSetPort(comm.socketServerGetPort())
  if OPTIONS.token_file then
    local file = io.open(OPTIONS.token_file)
    if not file then error("the token_file cannot be read: " .. OPTIONS.token_file, 0) end
    local token = file:read("l") or ""
    file:close()
    send('{"type": "hello", "token": ' .. quoted(token) .. "}")
    local reply = receive()
    if reply.status ~= "ok" then error(reply.message, 0) end
  end
end

-- Send the options and the screen, and return the reply. EmuHawk may have connected again by itself to send the screen,
-- and then the options are lost: the first reply shows it, because it has actions in it.
local function ask()
  if not connected then connect() end
  connected = true
  local commands = { options_command(pad.console) }
  if fresh then commands[2] = '{"type": "reset"}' end
  for _, command in ipairs(commands) do
    send(command)
  end
  comm.socketServerScreenShot()
  local problem = nil
  for number = 1, #commands + 1 do
    local came, reply = pcall(receive)
    if not came then error(problem and problem.message or reply, 0) end
    if reply.status ~= "ok" then
      problem = problem or reply
    elseif reply.pred and number <= #commands then
      error("EmuHawk had to connect again", 0)
    elseif reply.pred and not problem then
      fresh = false
      return reply
    end
  end
  return problem or error("the answer has no actions", 0)
end

local function measured(reply, began)
  local parts = {}
  -- On Windows os.clock counts the time spent waiting, on Linux only that of the processor.
  if package.config:sub(1, 1) == "\\" then
    parts[1] = string.format("answered in %.0f ms", (os.clock() - began) * 1000)
  end
  if reply.timing then
    parts[#parts + 1] = string.format("gateway %.0f ms", reply.timing.total_ms)
    parts[#parts + 1] = string.format("model %.0f ms", reply.timing.infer_ms)
  end
  return table.concat(parts, ", ")
end

-- Playing ---------------------------------------------------------------------------------------------------------

local function play(reply)
  local pred = reply.pred
  local steps = #pred.buttons
  if OPTIONS.steps_per_answer > 0 then steps = math.min(steps, OPTIONS.steps_per_answer) end
  for step = 1, steps do
    local buttons, axes = pressed(pred, step)
    for _ = 1, OPTIONS.frames_per_step * (reply["repeat"] or 1) do
      joypad.set(buttons)
      if next(axes) then joypad.setanalog(axes) end
      local title = string.format("NitroGen plays: step %d of %d, answer %d", step, steps, answers)
      show("lime", title, latency, OPTIONS.take_over_key .. ": play yourself")
      next_frame()
      if not model_plays then return end
    end
  end
end

local function turn()
  if not model_plays then
    let_go()
    show("yellow", "You play", OPTIONS.take_over_key .. ": let NitroGen play")
    next_frame()
    return
  end
  local why
  pad, why = find_pad()
  if not pad then
    log(why)
    wait(OPTIONS.error_frames, why)
    return
  end
  local began = os.clock()
  local done, reply = pcall(ask)
  if not done then
    connected = false
    log("no connection to the gateway at " .. comm.socketServerGetInfo() .. ": " .. tostring(reply))
    -- A connection that worked may only have been idle for too long: try again at once.
    if not worked then wait(OPTIONS.retry_frames, "no connection to the gateway: " .. tostring(reply)) end
    worked = false
  elseif reply.status ~= "ok" then
    log(reply.message)
    wait(OPTIONS.error_frames, reply.message)
  else
    worked = true
    answers = answers + 1
    latency = measured(reply, began)
    log("playing " .. pad.console.title .. " through " .. comm.socketServerGetInfo())
    play(reply)
  end
end

if not comm.socketServerGetIp() then
  console.log("NitroGen: start EmuHawk with --socket_ip=GATEWAY --socket_port=5556; GATEWAY is an IPv4 address")
else
  event.onexit(let_go)
  while true do
    turn()
  end
end
