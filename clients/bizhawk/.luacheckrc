-- From the repository's root: luacheck --config clients/bizhawk/.luacheckrc clients/bizhawk clients/examples tests/clients
std = "lua54"
-- The libraries that EmuHawk gives its scripts.
read_globals = { "client", "comm", "console", "emu", "event", "gui", "input", "joypad", "luanet" }

-- The stand-in defines them.
files["**/bizhawk_host.lua"].globals = { "comm", "console", "emu", "event", "gui", "input", "joypad" }
files["**/bizhawk_tcp_agent.lua"].read_globals = { "CONSOLE", "EXTRA", "PORT" }
-- Lua 5.1 has it there.
files["**/predict.lua"].read_globals = { "unpack" }
