-- sync applies a gateway's changes to one shard, in order; a full one also loses whatever it does not name.
-- KEYS due lives g:<life> users   ARGV now base life grace keep wait full {kind user socket}*
local now, base, life, grace, keep, wait = clock(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local out, typists, named = {}, {}, {}

local function stopTyping(user, socket)
  local y = base .. 'y:' .. user
  for _, at in ipairs(redis.call('SMEMBERS', y)) do
    local who, room = string.match(at, '^([^\n]*)\n(.*)$')
    if who == socket then
      redis.call('SREM', y, at)
      typists[#typists + 1] = {room, user, socket}
    end
  end
end

local function lose(user, socket)
  local k, field = base .. 'k:' .. user, life .. SEP .. socket
  if redis.call('HGET', k, field) ~= '0' then return end
  redis.call('HSET', k, field, int(now + grace))
  redis.call('ZADD', KEYS[1], int(now + grace), user .. SEP .. field)
  redis.call('SREM', KEYS[3], user .. SEP .. socket)
  redis.call('HSET', base .. 'm:' .. user, 'seen', int(now))
  stopTyping(user, socket)
end

-- leave removes the life's own socket, and what the same socket has left behind, already lost, at other gateways.
local function leave(user, socket)
  local k, field = base .. 'k:' .. user, life .. SEP .. socket
  redis.call('HDEL', k, field)
  redis.call('SREM', KEYS[3], user .. SEP .. socket)
  local all = redis.call('HGETALL', k)
  for i = 1, #all, 2 do
    if all[i + 1] ~= '0' and string.sub(all[i], -#socket - 1) == SEP .. socket then redis.call('HDEL', k, all[i]) end
  end
  stopTyping(user, socket)
  settle(base, user, now, now, keep, out)
end

for i = 8, #ARGV, 3 do
  local kind, user, socket = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local member = user .. SEP .. socket
  if kind == 'online' then
    named[member] = true
    redis.call('HSET', base .. 'k:' .. user, life .. SEP .. socket, '0')
    redis.call('SADD', KEYS[3], member)
    appear(base, user, now, wait, out)
  elseif kind == 'lost' then
    lose(user, socket)
  else
    leave(user, socket)
  end
end
if ARGV[7] == '1' then
  for _, member in ipairs(redis.call('SMEMBERS', KEYS[3])) do
    if not named[member] then
      local user, socket = string.match(member, '^([^\n]*)\n(.*)$')
      lose(user, socket)
    end
  end
end
if redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('HSET', KEYS[2], life, '0')
else
  redis.call('HDEL', KEYS[2], life)
end
return {out, typists}
