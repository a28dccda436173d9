// Replies of a Redis or Valkey server (RESP2), read from an untrusted stream:
// every length has a cap, and memory is taken only as bytes arrive. A
// RespReader belongs to one connection. https://valkey.io/topics/protocol/
#ifndef LONGHAND_CORE_STORE_REDIS_REPLY_H_
#define LONGHAND_CORE_STORE_REDIS_REPLY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

namespace longhand {

struct RedisReply {
  enum class Type { kNull, kString, kInteger, kError, kArray };

  Type type = Type::kNull;
  std::string text;  // kString and kError ("NOSCRIPT No matching script")
  int64_t integer = 0;
  std::vector<RedisReply> elements;

  bool is_null() const { return type == Type::kNull; }
  bool is_error() const { return type == Type::kError; }
  // A string that says this.
  bool Is(std::string_view what) const {
    return type == Type::kString && text == what;
  }
};

// A command as the server takes it: an array of strings.
std::string FormatRedisCommand(const std::vector<std::string_view>& arguments);

class RespReader {
 public:
  // Of one reply, everything in it.
  static constexpr uint64_t kMaxReplyBytes = uint64_t{256} << 20;
  static constexpr int kMaxDepth = 4;
  static constexpr int64_t kMaxElements = 1 << 20;

  // Gives some more bytes, at least one.
  using Source = absl::AnyInvocable<absl::StatusOr<std::string_view>()>;

  explicit RespReader(Source source) : source_(std::move(source)) {}

  // Errors of the source; UNAVAILABLE (STORE_UNAVAILABLE) if it is no reply.
  // After an error the stream is of no use.
  absl::StatusOr<RedisReply> Read();
  // Whether bytes are left that no reply was made of.
  bool has_rest() const { return place_ < buffer_.size(); }

 private:
  absl::Status Fill();
  // Without the end of the line.
  absl::StatusOr<std::string> ReadLine();
  absl::StatusOr<std::string> ReadBulk(uint64_t size);
  absl::StatusOr<RedisReply> ReadNested(int depth);

  Source source_;
  std::string buffer_;
  size_t place_ = 0;
  uint64_t reply_bytes_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_REDIS_REPLY_H_
