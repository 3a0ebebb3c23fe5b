-- inbox_overdue claims entries of one shard that wait too long and were not reported, and removes those too old.
-- KEYS inbox-due inbox-entries   ARGV now base limit claim
local now, base, limit = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local out = {}
local popped = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', int(now), 'LIMIT', 0, limit)
for _, member in ipairs(popped) do
  local name, place = string.match(member, '^(.*)\n([^\n]*)$')
  local box = boxOf(base, name)
  local packed = redis.call('HGET', box.e, place)
  if not packed then
    redis.call('ZREM', KEYS[1], member)
  else
    local e = entry(packed)
    if e.told == '1' then
      take(box, place)
    else
      redis.call('ZADD', KEYS[1], int(now + tonumber(ARGV[4])), member)
      out[#out + 1] = {name, place, e.id, int(e.at), e.value}
    end
  end
end
return {out, #popped == limit and 1 or 0, tonumber(redis.call('GET', KEYS[2]) or '0')}
