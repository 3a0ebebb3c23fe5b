-- An inbox is kept under `<base>i:<log>\n<user>\n`, followed by
--   q  ZSET  place by order of arrival; a place is <partition>:<offset>
--   e  HASH  place -> at\ntold\nid\nvalue
--   d  HASH  id -> place
--   c  HASH  seq; a<partition> -> next offset expected of the consumer; t<partition> -> tombstones as from-to,from-to
--   s  HASH  session -> start, as partition=offset,partition=offset
-- and in the shard `inbox-due` ZSET log\nuser\nplace by the time when it is to be looked at, and the number `inbox-entries`.
local function boxOf(base, name)
  local b = base .. 'i:' .. name .. SEP
  return {q = b .. 'q', e = b .. 'e', d = b .. 'd', c = b .. 'c', s = b .. 's', name = name, base = base}
end

local function split(place)
  local partition, offset = string.match(place, '^(%d+):(%d+)$')
  return partition, tonumber(offset)
end

local function entry(packed)
  local at, told, id, value = string.match(packed, '^(%d+)\n(%d)\n([^\n]*)\n(.*)$')
  return {at = tonumber(at), told = told, id = id, value = value}
end

local function take(box, place)
  local packed = redis.call('HGET', box.e, place)
  if not packed then return nil end
  local e = entry(packed)
  redis.call('ZREM', box.q, place)
  redis.call('HDEL', box.e, place)
  redis.call('HDEL', box.d, e.id)
  redis.call('ZREM', box.base .. 'inbox-due', box.name .. SEP .. place)
  redis.call('DECR', box.base .. 'inbox-entries')
  return e
end

local function keep(box, ttl)
  for _, k in ipairs({box.q, box.e, box.d, box.c, box.s}) do redis.call('PEXPIRE', k, ttl) end
end

-- spans reads tombstones, without those that end at or before next.
local function spans(text, next)
  local out = {}
  for from, to in string.gmatch(text or '', '(%d+)-(%d+)') do
    if tonumber(to) > next then out[#out + 1] = {tonumber(from), tonumber(to)} end
  end
  return out
end

-- store writes tombstones, the newest 64.
local function store(box, partition, list)
  local out = {}
  for i = math.max(1, #list - 63), #list do out[#out + 1] = int(list[i][1]) .. '-' .. int(list[i][2]) end
  if #out == 0 then
    redis.call('HDEL', box.c, 't' .. partition)
  else
    redis.call('HSET', box.c, 't' .. partition, table.concat(out, ','))
  end
end

-- starts reads a session's start.
local function starts(text)
  local out = {}
  for partition, offset in string.gmatch(text, '(%d+)=(%d+)') do out[partition] = tonumber(offset) end
  return out
end
