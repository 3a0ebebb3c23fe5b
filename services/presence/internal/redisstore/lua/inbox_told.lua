-- inbox_told notes that an entry was reported; it is looked at again when it is too old.
-- KEYS inbox-due   ARGV base name place ttl
local box = boxOf(ARGV[1], ARGV[2])
local packed = redis.call('HGET', box.e, ARGV[3])
if not packed then return 0 end
local e = entry(packed)
redis.call('HSET', box.e, ARGV[3], int(e.at) .. SEP .. '1' .. SEP .. e.id .. SEP .. e.value)
redis.call('ZADD', KEYS[1], int(e.at + tonumber(ARGV[4])), box.name .. SEP .. ARGV[3])
return 1
