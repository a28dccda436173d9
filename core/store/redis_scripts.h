// What the redis store has the server run: Lua scripts, each atomic on the keys
// of one session. Everything that varies is in KEYS and ARGV. Constants.
//
// KEYS, those of one session, with a common hash tag:
//   [1] hash: g generation, o owner ("": nobody), x end of the lease, h head
//       record, f committed_offset, d digest, n num_chunks
//   [2] hash: number of a chunk -> its version
//   [3] hash: "number:version" -> chunk record
// A chunk is staged in [3] first; it is part of the session only once [2] names
// its version. Times are in milliseconds by the server's clock. Every script
// answers with an array whose first element says what happened.
#ifndef LONGHAND_CORE_STORE_REDIS_SCRIPTS_H_
#define LONGHAND_CORE_STORE_REDIS_SCRIPTS_H_

#include <cstddef>
#include <string_view>

namespace longhand {

enum class RedisScript {
  kCreate,
  kAcquire,
  kRenew,
  kRelease,
  kStage,
  kCommit,
  kDelete,
};

// In the order of RedisScript.
inline constexpr std::string_view kRedisScripts[] = {
    // ARGV: owner, duration, head, committed_offset, digest, time of removal,
    // shortest time to live. OK or EXISTS.
    R"lua(
if redis.call('EXISTS', KEYS[1]) == 1 then return {'EXISTS'} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('UNLINK', KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'g', '1', 'o', ARGV[1],
           'x', string.format('%.0f', now + ARGV[2]),
           'h', ARGV[3], 'f', ARGV[4], 'd', ARGV[5], 'n', '0')
redis.call('PEXPIREAT', KEYS[1], string.format(
    '%.0f', math.max(tonumber(ARGV[6]), now + ARGV[7])))
return {'OK'}
)lua",
    // ARGV: owner, duration. OK, generation, head; NOT_FOUND; or WRONG_REPLICA,
    // owner. A new generation is never below the clock, so that a failover that
    // lost some can't give one a second time.
    R"lua(
local s = redis.call('HMGET', KEYS[1], 'g', 'o', 'x', 'h')
if not s[1] then return {'NOT_FOUND'} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local g = s[1]
if s[2] ~= ARGV[1] then
  if s[2] ~= '' and tonumber(s[3]) > now then
    return {'WRONG_REPLICA', s[2]}
  end
  g = string.format('%.0f', math.max(tonumber(g) + 1, now))
  if redis.call('HLEN', KEYS[3]) > redis.call('HLEN', KEYS[2]) then
    for _, field in ipairs(redis.call('HKEYS', KEYS[3])) do
      local number, version = string.match(field, '^(%d+):(%x+)$')
      if not number or redis.call('HGET', KEYS[2], number) ~= version then
        redis.call('HDEL', KEYS[3], field)
      end
    end
  end
end
redis.call('HSET', KEYS[1], 'g', g, 'o', ARGV[1],
           'x', string.format('%.0f', now + ARGV[2]))
return {'OK', g, s[4]}
)lua",
    // ARGV: generation, owner, duration. OK or STALE.
    R"lua(
local s = redis.call('HMGET', KEYS[1], 'g', 'o')
if s[1] ~= ARGV[1] or s[2] ~= ARGV[2] then return {'STALE'} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'x', string.format('%.0f', now + ARGV[3]))
return {'OK'}
)lua",
    // ARGV: generation. OK.
    R"lua(
if redis.call('HGET', KEYS[1], 'g') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'o', '', 'x', '0')
end
return {'OK'}
)lua",
    // ARGV: generation, "number:version", chunk record. OK or STALE.
    R"lua(
if redis.call('HGET', KEYS[1], 'g') ~= ARGV[1] then return {'STALE'} end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
local left = redis.call('PTTL', KEYS[1])
if left > 0 then redis.call('PEXPIRE', KEYS[3], left) end
return {'OK'}
)lua",
    // ARGV: generation, new generation, expected offset, head,
    // committed_offset, digest, num_chunks, time of removal, shortest time to
    // live, first chunk, then the versions of the chunks from there on. OK,
    // STALE, LOST, or UNSTAGED. Numbers are compared as text: Lua's have 53
    // bits.
    R"lua(
local s = redis.call('HMGET', KEYS[1], 'g', 'f', 'd', 'n')
if not s[1] then return {'STALE'} end
local old, new, first = tonumber(s[4]), tonumber(ARGV[7]), tonumber(ARGV[10])
if s[1] ~= ARGV[1] or s[2] ~= ARGV[3] or old < first then
  if s[1] == ARGV[2] and s[3] == ARGV[6] then return {'OK'} end
  if s[1] ~= ARGV[1] then return {'STALE'} end
  return {'LOST'}
end
local function version(i)
  if i < new then return ARGV[11 + i - first] end
end
for i = first, new - 1 do
  if redis.call('HEXISTS', KEYS[3], i .. ':' .. version(i)) == 0 then
    return {'UNSTAGED'}
  end
end
for i = first, old - 1 do
  local was = redis.call('HGET', KEYS[2], i)
  if was and was ~= version(i) then
    redis.call('HDEL', KEYS[3], i .. ':' .. was)
    redis.call('HDEL', KEYS[2], i)
  end
end
for i = first, new - 1 do redis.call('HSET', KEYS[2], i, version(i)) end
redis.call('HSET', KEYS[1], 'g', ARGV[2], 'h', ARGV[4], 'f', ARGV[5],
           'd', ARGV[6], 'n', ARGV[7])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local removal = string.format(
    '%.0f', math.max(tonumber(ARGV[8]), now + ARGV[9]))
for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, removal) end
return {'OK'}
)lua",
    // ARGV: generation, "1" to delete any generation. OK or STALE.
    R"lua(
local g = redis.call('HGET', KEYS[1], 'g')
if g and g ~= ARGV[1] and ARGV[2] ~= '1' then return {'STALE'} end
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
return {'OK'}
)lua",
};

constexpr std::string_view RedisScriptText(RedisScript script) {
  return kRedisScripts[static_cast<size_t>(script)];
}

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_REDIS_SCRIPTS_H_
