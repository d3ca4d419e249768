-- wrk: the same GET, each connection once every so many milliseconds (the second argument).
dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "report.lua")

function init(args)
  milliseconds = tonumber(args[2])
end

function delay()
  return milliseconds
end
