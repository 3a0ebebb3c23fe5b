-- Shared by every operation. Keys of one presence shard begin with its base, `<prefix>{p07}:`, and so share a slot;
-- names that are only found while the script runs (users of a gateway) are built from that base.
--   due        ZSET  user\nlife\nsocket of lost sockets, by the end of their grace
--   lives      HASH  life -> 0, or when the sockets of an ended life are to be removed
--   g:<life>   SET   user\nsocket, the life's connected sockets
--   k:<user>   HASH  life\nsocket -> 0, or the end of its grace
--   m:<user>   HASH  on, status, seen, want, wantAt
--   y:<user>   SET   socket\nroom where the user types
--   users      how many are online
local SEP = '\n'

-- clock gives the time in epoch milliseconds: as given, else the server's own.
local function clock(given)
  local ms = tonumber(given)
  if ms > 0 then return ms end
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function int(n) return string.format('%.0f', n) end

-- appear makes a user online who has a socket. Invariant: on = 1 exactly if the user's last told state is online.
local function appear(base, user, now, wait, out)
  local m = base .. 'm:' .. user
  local meta = redis.call('HMGET', m, 'on', 'want', 'wantAt')
  if meta[1] then return end
  local status = 'online'
  if meta[2] and now - tonumber(meta[3]) <= wait then status = meta[2] end
  redis.call('HSET', m, 'on', '1', 'status', status, 'seen', int(now))
  redis.call('HDEL', m, 'want', 'wantAt')
  redis.call('PERSIST', m)
  redis.call('INCR', base .. 'users')
  out[#out + 1] = {user, '1', redis.call('HLEN', base .. 'k:' .. user), status, int(now), int(now)}
end

-- settle makes a user offline who has no socket any more. seen is nil if the loss has already noted it.
local function settle(base, user, now, seen, keep, out)
  if redis.call('EXISTS', base .. 'k:' .. user) == 1 then return end
  local m = base .. 'm:' .. user
  local meta = redis.call('HMGET', m, 'on', 'seen')
  if not meta[1] then return end
  seen = seen or tonumber(meta[2] or int(now))
  redis.call('HDEL', m, 'on', 'status')
  redis.call('HSET', m, 'seen', int(seen))
  redis.call('PEXPIRE', m, keep)
  redis.call('DECR', base .. 'users')
  out[#out + 1] = {user, '0', 0, 'offline', int(seen), int(now)}
end
