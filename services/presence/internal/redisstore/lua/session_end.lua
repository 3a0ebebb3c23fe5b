-- session_end shortens the life of a record, or with 0 deletes it, if it still belongs to the life that asks.
-- KEYS record rooms   ARGV life ttl
if redis.call('HGET', KEYS[1], 'life') ~= ARGV[1] then return 0 end
for _, key in ipairs(KEYS) do
  if ARGV[2] == '0' then redis.call('DEL', key) else redis.call('PEXPIRE', key, ARGV[2]) end
end
return 1
