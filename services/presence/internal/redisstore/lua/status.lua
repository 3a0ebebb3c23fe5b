-- status sets a user's own status text; before the user is online it waits for the first socket.
-- KEYS m:<user> k:<user>   ARGV now user status wait keep
local now, status = clock(ARGV[1]), ARGV[3]
local meta = redis.call('HMGET', KEYS[1], 'on', 'status', 'seen')
if not meta[1] then
  redis.call('HSET', KEYS[1], 'want', status, 'wantAt', int(now))
  if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], meta[3] and ARGV[5] or ARGV[4]) end
  return {}
end
if meta[2] == status then return {} end
redis.call('HSET', KEYS[1], 'status', status)
local sockets = 0
for _, until_ in ipairs(redis.call('HVALS', KEYS[2])) do
  if until_ == '0' then sockets = sockets + 1 end
end
return {{ARGV[2], '1', sockets, status, meta[3], int(now)}}
