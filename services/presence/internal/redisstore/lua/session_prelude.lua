-- present gives the run of the server that runs the script, which is the one that keeps the record: read here, since a
-- fail-over between reading it and reading the record would have an old record trusted. given is for a server without.
local function present(given)
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%w+)') or given
end

-- among reports whether a TAB-separated list has an item.
local function among(list, item)
  return string.find('\t' .. list .. '\t', '\t' .. item .. '\t', 1, true) ~= nil
end
