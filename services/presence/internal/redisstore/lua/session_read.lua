-- session_read reads a record with the present run.
-- KEYS record rooms   ARGV run
local r = redis.call('HMGET', KEYS[1], 'version', 'era', 'run', 'life', 'before', 'user', 'socket', 'start', 'extra')
if not r[1] then return {} end
return {r, redis.call('SMEMBERS', KEYS[2]), present(ARGV[1])}
