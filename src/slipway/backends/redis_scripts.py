"""The scripts by which the online store in Redis reads what a transaction rests on, and writes it."""

from slipway.backends.redis_link import Script

__all__ = ["ENDS", "RANGES", "WRITE"]

# The last member of each key, "" for none.
ENDS = Script("""
local out = {}
for i = 1, #ARGV do out[i] = redis.call('ZRANGE', ARGV[i], -1, -1)[1] or '' end
return out""")
# The members of each range: key, least, greatest; reversed and one only, where a fourth says so.
RANGES = Script("""
local out = {}
for i = 1, #ARGV, 4 do
  local key, low, high = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if ARGV[i + 3] == '1' then out[#out + 1] = redis.call('ZREVRANGEBYLEX', key, high, low, 'LIMIT', 0, 1)
  else out[#out + 1] = redis.call('ZRANGEBYLEX', key, low, high) end
end
return out""")
# KEYS: whose turn it is; where parts are staged, if any. ARGV: who writes; then, or staged: how many checks, each a kind,
# a key and what is expected ("" for nothing); then the commands, each with the number of its parts before it.
# Answers 1 for written, 0 for changed meanwhile, 2 for another's turn.
WRITE = Script("""
local turn = redis.call('GET', KEYS[1])
if turn and turn ~= ARGV[1] then return 2 end
local a, i = ARGV, 2
if KEYS[2] then
  a, i = {}, 1
  local n = redis.call('LLEN', KEYS[2])
  for first = 0, n - 1, 4000 do
    local some = redis.call('LRANGE', KEYS[2], first, first + 3999)
    for j = 1, #some do a[#a + 1] = some[j] end
  end
end
local checks = tonumber(a[i])
i = i + 1
for c = 1, checks do
  local kind, key, found = a[i], a[i + 1], nil
  if kind == 'end' then found = redis.call('ZRANGE', key, -1, -1)[1]
  elseif kind == 'size' then found = tostring(redis.call('SCARD', key))
  elseif kind == 'staged' then found = tostring(redis.call('ZCARD', key))
  elseif kind == 'value' then found = redis.call('GET', key)
  else found = redis.call('ZRANGEBYLEX', key, '[' .. kind, '[' .. kind .. '\\255')[1] end
  if (found or '') ~= a[i + 2] then return 0 end
  i = i + 3
end
while i <= #a do
  local n = tonumber(a[i])
  redis.call(unpack(a, i + 1, i + n))
  i = i + n + 1
end
redis.call('UNLINK', unpack(KEYS))
return 1""")
