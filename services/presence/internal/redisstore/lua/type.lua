-- type starts (1) or stops (0) typing of one user in one room and says what the room is to be told.
-- KEYS typing typing-due   ARGV now ttl throttle on room user socket name
local now, ttl, throttle = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local room, user, socket = ARGV[5], ARGV[6], ARGV[7]
local at = room .. SEP .. user
local e = typist(KEYS[1], at)
if ARGV[4] == '1' then
  e = e or {ends = 0, told = 0, shown = false}
  e.ends, e.socket, e.name = now + ttl, socket, ARGV[8]
  if now - e.told >= throttle then
    e.told, e.shown = now, true
    keepTypist(KEYS[1], KEYS[2], at, e, throttle)
    return {{room, user, e.name, '1', int(now)}}
  end
  keepTypist(KEYS[1], KEYS[2], at, e, throttle)
  return {}
end
if not e or e.ends == 0 or (socket ~= '' and e.socket ~= '' and e.socket ~= socket) then return {} end
local shown = e.shown
e.ends, e.shown = 0, false
if e.told + throttle > now then
  keepTypist(KEYS[1], KEYS[2], at, e, throttle)
else
  dropTypist(KEYS[1], KEYS[2], at)
end
if shown then return {{room, user, e.name, '0', int(now)}} end
return {}
