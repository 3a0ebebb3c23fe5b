-- permit caches one permission, unless it was dropped a moment ago. One that admits ends the mark of a removal.
-- KEYS permission, removal   ARGV set ttl admits
if redis.call('GET', KEYS[1]) == 'x' then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[3] == '1' then redis.call('DEL', KEYS[2]) end
return 1
