-- sweep removes up to limit sockets of an ended life from one shard. Nothing happens if the life has come back.
-- KEYS lives g:<life> users   ARGV now base life grace keep limit
local now, base, life, grace, keep = clock(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local out = {}
local due = tonumber(redis.call('HGET', KEYS[1], life) or '0')
if due == 0 or due > now then return {out, 0, 0} end
local members = redis.call('SPOP', KEYS[2], ARGV[6])
for _, member in ipairs(members) do
  local user, socket = string.match(member, '^([^\n]*)\n(.*)$')
  redis.call('HDEL', base .. 'k:' .. user, life .. SEP .. socket)
  settle(base, user, now, due - grace, keep, out)
end
local left = redis.call('SCARD', KEYS[2])
if left == 0 then redis.call('HDEL', KEYS[1], life) end
return {out, #members, left}
