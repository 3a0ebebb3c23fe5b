-- leases lists the live leases and forgets those that have ended.
-- KEYS leases   ARGV now
local now, out = clock(ARGV[1]), {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local ends, addr = string.match(all[i + 1], '^(%d+)\n%d\n[^\n]*\n(.*)$')
  if tonumber(ends) <= now then
    redis.call('HDEL', KEYS[1], all[i])
  else
    out[#out + 1] = {all[i], addr}
  end
end
return out
