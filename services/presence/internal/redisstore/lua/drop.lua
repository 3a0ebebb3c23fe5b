-- drop forgets one permission, and marks when the user was removed from the room: the latest time stays.
-- KEYS permission, removal   ARGV quiet removed ttl (removed: 0 if he was not)
redis.call('SET', KEYS[1], 'x', 'PX', ARGV[1])
if ARGV[2] == '0' then return 0 end
local before = tonumber(redis.call('GET', KEYS[2]) or '0') or 0
if before >= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
