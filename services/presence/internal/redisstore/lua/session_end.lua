-- session_end shortens the life of a record, or with 0 deletes it, if it still belongs to the life that asks and no later
-- write has come: a session may be resumed at the gateway that it was lost at.
-- KEYS record rooms   ARGV life ttl version
local r = redis.call('HMGET', KEYS[1], 'life', 'version')
if r[1] ~= ARGV[1] or tonumber(r[2]) > tonumber(ARGV[3]) then return 0 end
for _, key in ipairs(KEYS) do
  if ARGV[2] == '0' then redis.call('DEL', key) else redis.call('PEXPIRE', key, ARGV[2]) end
end
return 1
