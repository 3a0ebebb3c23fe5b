-- held says how far a life is known: 0 not at all, 1 it holds a lease, 2 all its sockets are known too.
-- With `mark`, which follows a full sync, a life that holds its lease becomes known.
-- KEYS leases   ARGV now life mark
local held = redis.call('HGET', KEYS[1], ARGV[2])
if not held then return 0 end
local ends, synced, rest = string.match(held, '^(%d+)\n(%d)(\n.*)$')
if tonumber(ends) <= clock(ARGV[1]) then return 0 end
if synced == '1' then return 2 end
if ARGV[3] ~= '1' then return 1 end
redis.call('HSET', KEYS[1], ARGV[2], ends .. SEP .. '1' .. rest)
return 2
