-- wrk: a request of the API again and again; the second argument says which. In its body, @ is a number that is never
-- the same.
dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "report.lua")

local threads = 0
local requests = {
  increment = { "POST", "/api/batch", '{"ops":[{"op":"increment","key":"counter:@"}]}' },
  counter = { "POST", "/api/batch", '{"ops":[{"op":"increment","key":"counter"}]}' },
  patch = { "PATCH", "/api/keys/object", '{"seen":@}', "application/merge-patch+json" },
  page = { "GET", "/api/keys?prefix=bench:&limit=100&values=true" },
  count = { "GET", "/api/keys?prefix=bench:&count=true" },
  folders = { "GET", "/api/keys?prefix=bench:&delimiter=:" },
  part = { "GET", "/api/keys/large", range = "bytes=500000-500099" },
}

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local function hundred_puts()
  local ops = {}
  for i = 1, 100 do ops[i] = '{"op":"put","key":"batch:@:' .. i .. '","text":"' .. string.rep("v", 100) .. '"}' end
  return { "POST", "/api/batch", '{"ops":[' .. table.concat(ops, ",") .. "]}" }
end

function init(args)
  count = 0
  first = (args[1] * 8 + number) * 1000000000 -- args[1]: the number of the run
  chosen = args[2] == "batch" and hundred_puts() or requests[args[2]]
  headers = { ["Content-Type"] = chosen[3] and (chosen[4] or "application/json"), ["Range"] = chosen.range }
end

function request()
  count = count + 1
  local body = chosen[3] and chosen[3]:gsub("@", string.format("%d", first + count))
  return wrk.format(chosen[1], chosen[2], headers, body)
end
