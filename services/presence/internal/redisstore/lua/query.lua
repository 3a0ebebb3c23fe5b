-- query reads the state of some users of one shard.
-- KEYS m:<user>*   ARGV base {user}*
local out = {}
for i, m in ipairs(KEYS) do
  local meta = redis.call('HMGET', m, 'on', 'status', 'seen')
  local sockets = 0
  for _, until_ in ipairs(redis.call('HVALS', ARGV[1] .. 'k:' .. ARGV[i + 1])) do
    if until_ == '0' then sockets = sockets + 1 end
  end
  out[i] = {meta[1] and '1' or '0', meta[1] and meta[2] or 'offline', meta[3] or '0', sockets}
end
return out
