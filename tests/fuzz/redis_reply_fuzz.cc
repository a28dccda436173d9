// Replies of a Redis or Valkey server: the same replies whatever the cuts of
// the stream, memory in proportion to it, and commands that read back as they
// were meant.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/store/redis_reply.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/memory_meter.h"

namespace longhand::testing {
namespace {

// The smallest element takes 4 bytes of the stream and 72 of memory, twice
// while a vector grows.
constexpr uint64_t kMemoryFactor = 64;

std::string Describe(const RedisReply& reply) {
  std::string text = absl::StrCat(int(reply.type), "(", reply.integer, ",",
                                  reply.text.size(), ":", reply.text);
  for (const RedisReply& element : reply.elements) {
    absl::StrAppend(&text, ",", Describe(element));
  }
  return text + ")";
}

// Every reply, then why there are no more.
std::vector<std::string> ReadAll(std::string_view bytes, uint16_t seed,
                                 size_t max_piece) {
  Pieces pieces(seed, max_piece);
  RespReader reader([&]() -> absl::StatusOr<std::string_view> {
    if (bytes.empty()) return absl::OutOfRangeError("end");
    const std::string_view piece = bytes.substr(0, pieces.Next());
    bytes.remove_prefix(piece.size());
    return piece;
  });
  std::vector<std::string> replies;
  while (true) {
    const auto reply = reader.Read();
    if (!reply.ok()) {
      if (!absl::IsOutOfRange(reply.status())) {
        CheckRefusal(reply.status(), {absl::StatusCode::kUnavailable});
      }
      replies.push_back(absl::StrCat(int(reply.status().code())));
      return replies;
    }
    replies.push_back(Describe(*reply));
  }
}

uint64_t PeakOf(std::string_view bytes) {
  MemoryMeter memory;
  RespReader reader([&]() -> absl::StatusOr<std::string_view> {
    if (bytes.empty()) return absl::OutOfRangeError("end");
    return std::exchange(bytes, std::string_view());
  });
  while (reader.Read().ok()) {
  }
  return memory.peak();
}

void CheckCommand(std::string_view bytes, uint16_t seed) {
  std::vector<std::string_view> arguments;
  Pieces pieces(seed, 16);
  while (!bytes.empty()) {
    arguments.push_back(bytes.substr(0, pieces.Next() - 1));
    bytes.remove_prefix(std::max<size_t>(arguments.back().size(), 1));
  }
  const std::string command = FormatRedisCommand(arguments);
  bool given = false;
  RespReader reader([&]() -> absl::StatusOr<std::string_view> {
    if (std::exchange(given, true)) return absl::OutOfRangeError("end");
    return command;
  });
  const auto reply = reader.Read();
  LH_CHECK(reply.ok() && reply->elements.size() == arguments.size());
  for (size_t i = 0; i < arguments.size(); ++i) {
    LH_CHECK(reply->elements[i].Is(arguments[i]));
  }
  LH_CHECK(!reader.has_rest());
}

}  // namespace
}  // namespace longhand::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhand::testing;  // NOLINT
  FuzzInput input(data, size);
  const auto seed = input.Number<uint16_t>();
  const size_t max_piece = 1 + input.Choose(255);
  const std::string_view bytes = input.Rest();
  LH_CHECK(PeakOf(bytes) <= (uint64_t{64} << 10) + kMemoryFactor * size);
  LH_CHECK(ReadAll(bytes, 0, SIZE_MAX) == ReadAll(bytes, seed, max_piece));
  CheckCommand(bytes, seed);
  return 0;
}
