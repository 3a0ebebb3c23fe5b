-- inbox_look tells where an event stands, as inbox.Box.Look does: 1 expected, 2 waiting, 3 reported, 4 taken.
-- KEYS anchor   ARGV base name place
local box = boxOf(ARGV[1], ARGV[2])
local partition, offset = split(ARGV[3])
local packed = redis.call('HGET', box.e, ARGV[3])
if packed then return entry(packed).told == '1' and 3 or 2 end
local mine = redis.call('HMGET', box.c, 'a' .. partition, 't' .. partition)
if mine[1] and offset < tonumber(mine[1]) then return 4 end
for _, s in ipairs(spans(mine[2], 0)) do
  if s[1] <= offset and offset < s[2] then return 4 end
end
return 1
