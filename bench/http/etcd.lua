-- wrk: etcd's JSON gateway; the second argument is "get" (one key again and again) or "put" (a new key each time).
dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "report.lua")

local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local threads = 0

local function base64(text)
  local out = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    for k = 3, 0, -1 do
      local digit = math.floor(n / 64 ^ k) % 64
      out[#out + 1] = (k == 0 and not c or k == 1 and not b) and "=" or letters:sub(digit + 1, digit + 1)
    end
  end
  return table.concat(out)
end

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  count = 0
  run = args[1]
  gets = args[2] == "get"
  value = base64(string.rep("v", 100))
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  if gets then fixed = wrk.format("POST", "/v3/kv/range", nil, '{"key":"' .. base64("bench") .. '"}') end
end

function request()
  if gets then return fixed end
  count = count + 1
  local key = base64("bench:" .. run .. ":" .. number .. ":" .. count)
  return wrk.format("POST", "/v3/kv/put", nil, '{"key":"' .. key .. '","value":"' .. value .. '"}')
end
