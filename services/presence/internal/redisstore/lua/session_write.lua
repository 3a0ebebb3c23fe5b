-- session_write decides a write as sessionrecord.Apply does.
-- KEYS record rooms   ARGV run ttl kind life before era base writerRun cursorLife cursorEra user socket start extra adds {add}* {remove}*
local run, kind, life, before, era, base = present(ARGV[1]), ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local r = redis.call('HMGET', KEYS[1], 'version', 'era', 'run', 'life', 'before')
local stored, version = r[1] and true or false, tonumber(r[1] or '0')

local function rooms()
  local adds = tonumber(ARGV[15])
  for i = 16, #ARGV do redis.call(i - 15 <= adds and 'SADD' or 'SREM', KEYS[2], ARGV[i]) end
end

local function done(v)
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  return {'written', int(v), run}
end

local function whole(v, lives)
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'version', int(v), 'era', era, 'run', run, 'life', life, 'before', lives,
    'user', ARGV[11], 'socket', ARGV[12], 'start', ARGV[13], 'extra', ARGV[14])
  rooms()
  return done(v)
end

-- lineage is what a taken record names as the lives before it, at most eight.
local function lineage()
  if r[4] == life then return r[5] end
  local out = {r[4]}
  for l in string.gmatch(r[5], '[^\t]+') do
    if l ~= life and #out < 8 then out[#out + 1] = l end
  end
  return table.concat(out, '\t')
end

local function resumable()
  if r[3] ~= run then return false end
  if ARGV[9] == '' or ARGV[9] == r[4] then return tonumber(r[2]) >= tonumber(ARGV[10]) end
  return among(r[5], ARGV[9])
end

if kind == 'delta' then
  if not stored then return {'whole', '0', run} end
  if r[4] ~= life and not among(before, r[4]) then return {'taken', '0', run} end
  if r[4] ~= life or version ~= base or r[2] ~= era or r[3] ~= ARGV[8] or ARGV[8] ~= run then return {'whole', '0', run} end
  rooms()
  redis.call('HSET', KEYS[1], 'version', int(version + 1))
  return done(version + 1)
elseif kind == 'take' then
  if not stored then return {'gone', '0', run} end
  if version ~= base then return {'moved', '0', run} end
  if not resumable() then return {'untrusted', '0', run} end
  return whole(version + 1, lineage())
end
if not stored then return whole(base + 1, before) end
if r[4] == life and version <= base or among(before, r[4]) then return whole(math.max(version, base) + 1, before) end
return {'taken', '0', run}
