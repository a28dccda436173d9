#include "core/store/redis_reply.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/store/store_errors.h"

namespace longhand {
namespace {

constexpr size_t kMaxLineBytes = 16 << 10;

absl::Status NotAReply() {
  return StoreUnavailableError(
      "what answers does not speak the protocol of Redis; see the configured "
      "address, and whether it wants TLS");
}

// Decimal, as the protocol has it: SimpleAtoi would also take spaces and "+".
absl::StatusOr<int64_t> ParseNumber(std::string_view text) {
  int64_t number = 0;
  const std::string_view digits =
      text.substr(!text.empty() && text[0] == '-' ? 1 : 0);
  if (digits.empty() ||
      digits.find_first_not_of("0123456789") != std::string_view::npos ||
      !absl::SimpleAtoi(ToAbsl(text), &number)) {
    return NotAReply();
  }
  return number;
}

}  // namespace

std::string FormatRedisCommand(const std::vector<std::string_view>& arguments) {
  size_t size = 16;
  for (const std::string_view argument : arguments) {
    size += argument.size() + 16;
  }
  std::string command;
  command.reserve(size);
  absl::StrAppend(&command, "*", arguments.size(), "\r\n");
  for (const std::string_view argument : arguments) {
    absl::StrAppend(&command, "$", argument.size(), "\r\n", ToAbsl(argument),
                    "\r\n");
  }
  return command;
}

absl::Status RespReader::Fill() {
  buffer_.erase(0, place_);
  place_ = 0;
  LH_ASSIGN_OR_RETURN(const std::string_view more, source_());
  reply_bytes_ += more.size();
  if (reply_bytes_ > kMaxReplyBytes) return NotAReply();
  buffer_.append(more);
  return absl::OkStatus();
}

absl::StatusOr<std::string> RespReader::ReadLine() {
  size_t seen = 0;
  while (true) {
    const size_t end = buffer_.find("\r\n", place_ + seen);
    if (end != std::string::npos) {
      if (end - place_ > kMaxLineBytes) return NotAReply();
      std::string line = buffer_.substr(place_, end - place_);
      place_ = end + 2;
      return line;
    }
    // With the first byte of its end.
    if (buffer_.size() - place_ > kMaxLineBytes + 1) return NotAReply();
    // The last byte may be the end's first.
    seen = std::max(buffer_.size() - place_, size_t{1}) - 1;
    LH_RETURN_IF_ERROR(Fill());
  }
}

absl::StatusOr<std::string> RespReader::ReadBulk(uint64_t size) {
  std::string bulk;
  while (bulk.size() < size) {
    if (place_ == buffer_.size()) LH_RETURN_IF_ERROR(Fill());
    const size_t part = std::min(uint64_t{buffer_.size() - place_},
                                 size - uint64_t{bulk.size()});
    bulk.append(buffer_, place_, part);
    place_ += part;
  }
  LH_ASSIGN_OR_RETURN(const std::string line, ReadLine());
  if (!line.empty()) return NotAReply();
  return bulk;
}

absl::StatusOr<RedisReply> RespReader::Read() {
  reply_bytes_ = 0;
  return ReadNested(0);
}

absl::StatusOr<RedisReply> RespReader::ReadNested(int depth) {
  LH_ASSIGN_OR_RETURN(const std::string whole_line, ReadLine());
  if (whole_line.empty() || depth > kMaxDepth) return NotAReply();
  const char type = whole_line.front();
  std::string line = whole_line.substr(1);
  RedisReply reply;
  if (type == '+' || type == '-') {
    reply.type =
        type == '+' ? RedisReply::Type::kString : RedisReply::Type::kError;
    reply.text = std::move(line);
    return reply;
  }
  LH_ASSIGN_OR_RETURN(const int64_t number, ParseNumber(line));
  if (type == ':') {
    reply.type = RedisReply::Type::kInteger;
    reply.integer = number;
    return reply;
  }
  if (type != '$' && type != '*') return NotAReply();
  if (number == -1) return reply;
  if (number < 0 || uint64_t(number) > kMaxReplyBytes) return NotAReply();
  if (type == '$') {
    reply.type = RedisReply::Type::kString;
    LH_ASSIGN_OR_RETURN(reply.text, ReadBulk(uint64_t(number)));
    return reply;
  }
  if (number > kMaxElements) return NotAReply();
  reply.type = RedisReply::Type::kArray;
  for (int64_t i = 0; i < number; ++i) {
    LH_ASSIGN_OR_RETURN(RedisReply element, ReadNested(depth + 1));
    reply.elements.push_back(std::move(element));
  }
  return reply;
}

}  // namespace longhand
