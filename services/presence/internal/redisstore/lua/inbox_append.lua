-- inbox_append adds one event, as inbox.Box.Append does.
-- KEYS inbox-due inbox-entries   ARGV now base name place id at value most ttl after
local now, base = clock(ARGV[1]), ARGV[2]
local box, place, id, at, ttl = boxOf(base, ARGV[3]), ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[9])
local partition, offset = split(place)
local mine = redis.call('HMGET', box.c, 'a' .. partition, 't' .. partition)
if mine[1] and offset < tonumber(mine[1]) then return {0, {}, {}} end
redis.call('HSET', box.c, 'a' .. partition, int(offset + 1))
local received = false
for _, s in ipairs(spans(mine[2], 0)) do received = received or (s[1] <= offset and offset < s[2]) end
if mine[2] then store(box, partition, spans(mine[2], offset + 1)) end
if received or redis.call('HEXISTS', box.d, id) == 1 then
  keep(box, ttl)
  return {0, {}, {}}
end
redis.call('ZADD', box.q, redis.call('HINCRBY', box.c, 'seq', 1), place)
redis.call('HSET', box.e, place, int(at) .. SEP .. '0' .. SEP .. id .. SEP .. ARGV[7])
redis.call('HSET', box.d, id, place)
redis.call('ZADD', KEYS[1], int(now + tonumber(ARGV[10])), box.name .. SEP .. place)
redis.call('INCR', KEYS[2])
local wake, dropped = {}, {}
local live = redis.call('HGETALL', box.s)
for i = 1, #live, 2 do
  local start = starts(live[i + 1])[partition]
  if start and offset < start then wake[#wake + 1] = live[i] end
end
while true do
  local oldest = redis.call('ZRANGE', box.q, 0, 0)[1]
  if not oldest then break end
  local e = entry(redis.call('HGET', box.e, oldest))
  if redis.call('ZCARD', box.q) <= tonumber(ARGV[8]) and e.at + ttl > now then break end
  take(box, oldest)
  dropped[#dropped + 1] = {oldest, e.id, int(e.at), e.value, e.told}
end
keep(box, ttl)
return {1, wake, dropped}
