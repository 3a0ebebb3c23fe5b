-- inbox_receive removes what a socket has, as inbox.Box.Receive and ReceiveID do.
-- KEYS anchor   ARGV base name ttl spans {partition from to}* {id}*
local box, gone, byPartition = boxOf(ARGV[1], ARGV[2]), 0, {}
local ends = 4 + 3 * tonumber(ARGV[4])
for i = 5, ends, 3 do
  local partition, from, to = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  byPartition[partition] = byPartition[partition] or {}
  table.insert(byPartition[partition], {from, to})
end
if ends > 4 then
  for _, place in ipairs(redis.call('ZRANGE', box.q, 0, -1)) do
    local partition, offset = split(place)
    for _, s in ipairs(byPartition[partition] or {}) do
      if s[1] <= offset and offset < s[2] then
        if take(box, place) then gone = gone + 1 end
        break
      end
    end
  end
end
for partition, list in pairs(byPartition) do
  local mine = redis.call('HMGET', box.c, 'a' .. partition, 't' .. partition)
  local next = tonumber(mine[1] or '0')
  local merged, changed = spans(mine[2], next), false
  for _, s in ipairs(list) do
    s[1] = math.max(s[1], next)
    if s[1] < s[2] then
      changed = true
      local rest = {}
      for _, o in ipairs(merged) do
        if o[2] < s[1] or o[1] > s[2] then
          rest[#rest + 1] = o
        else
          s = {math.min(s[1], o[1]), math.max(s[2], o[2])}
        end
      end
      rest[#rest + 1] = s
      table.sort(rest, function(x, y) return x[1] < y[1] end)
      merged = rest
    end
  end
  if changed then
    store(box, partition, merged)
    keep(box, ARGV[3])
  end
end
for i = ends + 1, #ARGV do
  local place = redis.call('HGET', box.d, ARGV[i])
  if place and take(box, place) then gone = gone + 1 end
end
return gone
