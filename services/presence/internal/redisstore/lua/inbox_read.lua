-- inbox_read returns what lies before a session's start, as inbox.Box.Read does.
-- KEYS anchor   ARGV base name session after limit bytes
local box, limit, bytes = boxOf(ARGV[1], ARGV[2]), tonumber(ARGV[5]), tonumber(ARGV[6])
local text = redis.call('HGET', box.s, ARGV[3])
if not text then return {{}, 0} end
local start, out = starts(text), {}
local queue = redis.call('ZRANGEBYSCORE', box.q, '(' .. ARGV[4], '+inf', 'WITHSCORES')
for i = 1, #queue, 2 do
  local partition, offset = split(queue[i])
  if start[partition] and offset < start[partition] then
    local e = entry(redis.call('HGET', box.e, queue[i]))
    if #out == limit or (#out > 0 and bytes < #e.value) then return {out, 1} end
    bytes = bytes - #e.value
    out[#out + 1] = {queue[i], e.id, int(e.at), e.value, e.told, queue[i + 1]}
  end
end
return {out, 0}
