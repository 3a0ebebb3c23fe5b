-- typed takes the next step of up to limit typists of one shard: a start that was throttled, an end, an entry to forget.
-- KEYS typing typing-due   ARGV now throttle limit
local now, throttle, limit = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local out = {}
local popped = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', int(now), 'LIMIT', 0, limit)
for _, at in ipairs(popped) do
  local e = typist(KEYS[1], at)
  local room, user = string.match(at, '^([^\n]*)\n(.*)$')
  if not e or e.ends <= now then
    dropTypist(KEYS[1], KEYS[2], at)
    if e and e.shown then out[#out + 1] = {room, user, e.name, '0', int(now)} end
  else
    if not e.shown and now - e.told >= throttle then
      e.told, e.shown = now, true
      out[#out + 1] = {room, user, e.name, '1', int(now)}
    end
    keepTypist(KEYS[1], KEYS[2], at, e, throttle)
  end
end
return {out, #popped == limit and 1 or 0}
