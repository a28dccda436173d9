#include "bench/documents/document_feed.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/text/text_stream.h"

namespace longhand::documents {
namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{256} << 20;
// Of one piece: some 64 KiB of English text.
constexpr int64_t kPieceTokens = 16'384;

}  // namespace

absl::StatusOr<SourceText> ReadSourceText(const std::string& path,
                                          const Tokenizer& tokenizer) {
  SourceText source;
  LH_ASSIGN_OR_RETURN(source.text, ReadFile(path, kMaxTextBytes));
  // The next copy must not begin inside this one's last word.
  if (!source.text.empty() && source.text.back() != '\n') source.text += '\n';
  TextStream stream(&tokenizer);
  absl::Status status = stream.Append(source.text, &source.tokens);
  if (status.ok()) status = stream.Finish(&source.tokens);
  if (!status.ok()) return WithContext(status, "TEXT_INVALID", path);
  if (source.tokens.empty()) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "TEXT_EMPTY",
        absl::StrCat(path, " holds no token; give a file with some text"));
  }
  return source;
}

std::optional<Content> DocumentFeed::Next() {
  if (remaining_ == 0) return std::nullopt;
  const TokenSequence& tokens = source_->tokens;
  const int64_t size = int64_t(tokens.size());
  const int64_t begin = position_;
  const int64_t end =
      begin + std::min({kPieceTokens, remaining_, size - begin});
  remaining_ -= end - begin;
  position_ = end % size;
  if (kind_ == ContentKind::kTokenIds) {
    return std::vector<int32_t>(tokens.ids.begin() + begin,
                                tokens.ids.begin() + end);
  }
  // What stands between two tokens goes with the first of them.
  const uint64_t from = begin == 0 ? 0 : tokens.begin[size_t(begin)];
  uint64_t to = source_->text.size();
  if (remaining_ == 0) {
    to = tokens.end[size_t(end) - 1];
  } else if (end < size) {
    to = tokens.begin[size_t(end)];
  }
  return source_->text.substr(from, to - from);
}

uint64_t DocumentBytes(const SourceText& source, ContentKind kind,
                       int64_t tokens) {
  if (kind == ContentKind::kTokenIds) return 4 * uint64_t(tokens);
  const uint64_t copies = uint64_t(tokens) / source.tokens.size() + 1;
  return copies * source.text.size();
}

}  // namespace longhand::documents
