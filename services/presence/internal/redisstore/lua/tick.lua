-- tick removes lost sockets of one shard whose grace is over, and finds ended lives. Several pods may call it: each
-- change is returned to one of them.
-- KEYS due lives users   ARGV now base grace keep limit {life}* (those with a lease)
local now, base, grace, keep, limit = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local out, dead, alive, expired = {}, {}, {}, 0
for i = 6, #ARGV do alive[ARGV[i]] = true end

local popped = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', int(now), 'LIMIT', 0, limit)
for _, member in ipairs(popped) do
  redis.call('ZREM', KEYS[1], member)
  local user, field = string.match(member, '^([^\n]*)\n(.*)$')
  local until_ = redis.call('HGET', base .. 'k:' .. user, field)
  if until_ and until_ ~= '0' and tonumber(until_) <= now then
    redis.call('HDEL', base .. 'k:' .. user, field)
    expired = expired + 1
    settle(base, user, now, nil, keep, out)
  end
end

local lives = redis.call('HGETALL', KEYS[2])
for i = 1, #lives, 2 do
  local life, due = lives[i], tonumber(lives[i + 1])
  if alive[life] then
    if due ~= 0 then redis.call('HSET', KEYS[2], life, '0') end
  elseif due == 0 then
    redis.call('HSET', KEYS[2], life, int(now + grace))
  elseif due <= now then
    dead[#dead + 1] = life
  end
end
return {out, expired, dead, tonumber(redis.call('GET', KEYS[3]) or '0'), #popped == limit and 1 or 0}
