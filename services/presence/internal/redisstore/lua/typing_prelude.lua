-- Typing of one shard of rooms: `typing` HASH room\nuser -> ends\ntold\nshown\nsocket\nname, `due` ZSET of room\nuser by
-- the time of the next step. ends is 0 after a stop: the entry is kept only for the throttle.
-- Invariant: shown exactly if the last thing that the room was told is typing:start.
local function typist(key, at)
  local packed = redis.call('HGET', key, at)
  if not packed then return nil end
  local ends, told, shown, socket, name = string.match(packed, '^(%d+)\n(%d+)\n(%d)\n([^\n]*)\n(.*)$')
  return {ends = tonumber(ends), told = tonumber(told), shown = shown == '1', socket = socket, name = name}
end

local function keepTypist(key, due, at, e, throttle)
  local step = e.ends
  if not e.shown and (step == 0 or e.told + throttle < step) then step = e.told + throttle end
  redis.call('HSET', key, at, int(e.ends) .. SEP .. int(e.told) .. SEP .. (e.shown and '1' or '0') .. SEP .. e.socket .. SEP .. e.name)
  redis.call('ZADD', due, int(step), at)
end

local function dropTypist(key, due, at)
  redis.call('HDEL', key, at)
  redis.call('ZREM', due, at)
end
