-- permit caches one permission, unless it was dropped a moment ago.
-- KEYS permission   ARGV set ttl
if redis.call('GET', KEYS[1]) == 'x' then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
