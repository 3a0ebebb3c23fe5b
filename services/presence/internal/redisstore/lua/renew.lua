-- renew claims or renews the lease of one life of a gateway and says whether all its sockets are known.
-- KEYS leases   ARGV now life addr ttl run
local now, life = clock(ARGV[1]), ARGV[2]
local known = '0'
local held = redis.call('HGET', KEYS[1], life)
if held then
  local ends, synced, run = string.match(held, '^(%d+)\n(%d)\n([^\n]*)\n')
  if tonumber(ends) > now and run == ARGV[5] then known = synced end
end
redis.call('HSET', KEYS[1], life, int(now + tonumber(ARGV[4])) .. SEP .. known .. SEP .. ARGV[5] .. SEP .. ARGV[3])
return tonumber(known)
