-- wrk: PUT of a 100-byte value under a key that was never used.
dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "report.lua")

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  count = 0
  head = "PUT /api/keys/bench:" .. args[1] .. ":" .. number .. ":" -- args[1]: the number of the run
  tail = " HTTP/1.1\r\nContent-Length: 100\r\n"
  for name, value in pairs(wrk.headers) do tail = tail .. name .. ": " .. value .. "\r\n" end
  tail = tail .. "\r\n" .. string.rep("v", 100)
end

function request()
  count = count + 1
  return head .. count .. tail
end
