#!lua
-- fleet: what the replicas that live tell of themselves.
-- KEYS  heartbeats (sorted set), descriptions (hash)
-- ARGV  ms after which one counts as gone
-- Returns a list of pairs: replica, its description or ""
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local out = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now - tonumber(ARGV[1])), '+inf')) do
  out[#out + 1] = id
  out[#out + 1] = redis.call('HGET', KEYS[2], id) or ''
end
return out
