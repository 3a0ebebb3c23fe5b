-- inbox_connect makes a session live with its start; with an empty start it ends it.
-- KEYS anchor   ARGV base name session start ttl most
local box = boxOf(ARGV[1], ARGV[2])
if ARGV[4] == '' then return redis.call('HDEL', box.s, ARGV[3]) end
if redis.call('HLEN', box.s) >= tonumber(ARGV[6]) and redis.call('HEXISTS', box.s, ARGV[3]) == 0 then
  local all = redis.call('HKEYS', box.s)
  table.sort(all)
  redis.call('HDEL', box.s, all[1])
end
redis.call('HSET', box.s, ARGV[3], ARGV[4])
keep(box, ARGV[5])
return 1
