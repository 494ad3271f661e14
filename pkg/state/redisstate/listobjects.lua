#!lua flags=no-writes
-- listobjects: a page of the objects of one owner and family, by when they were made and then by id.
-- KEYS  objects (hash), their order, those that are gone (sorted sets)
-- ARGV  id behind which the page begins or '', 1 for the oldest first, most on the page
-- Returns nothing when that id is not there; otherwise id, value of each.
local from, ascending, most = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3])
local start = 0
if from ~= '' then
  local rank = redis.call(ascending and 'ZRANK' or 'ZREVRANK', KEYS[2], from)
  if rank then
    start = rank + 1
  else
    local made = redis.call('ZSCORE', KEYS[3], from)
    if not made then return false end
    if ascending then
      start = redis.call('ZCOUNT', KEYS[2], '-inf', '(' .. made)
    else
      start = redis.call('ZCOUNT', KEYS[2], '(' .. made, '+inf')
    end
    local same = redis.call('ZRANGEBYSCORE', KEYS[2], made, made)
    for i = 1, #same do
      if ascending and same[i] < from or not ascending and same[i] > from then start = start + 1 end
    end
  end
end
local ids = redis.call(ascending and 'ZRANGE' or 'ZREVRANGE', KEYS[2], start, start + most - 1)
local page = {}
for first = 1, #ids, 1000 do
  local last = math.min(first + 999, #ids)
  local values = redis.call('HMGET', KEYS[1], unpack(ids, first, last))
  for i = first, last do
    page[#page + 1] = ids[i]
    page[#page + 1] = values[i - first + 1] or ''
  end
end
return page
