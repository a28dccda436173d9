// Documents of any number of tokens, made by repeating a text. SourceText is
// immutable and safe from many threads; a DocumentFeed belongs to one document
// and borrows its source.
#ifndef LONGHAND_BENCH_DOCUMENTS_DOCUMENT_FEED_H_
#define LONGHAND_BENCH_DOCUMENTS_DOCUMENT_FEED_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "core/text/token_sequence.h"
#include "core/text/tokenizer.h"

namespace longhand::documents {

struct SourceText {
  std::string text;  // ends with a line feed
  TokenSequence tokens;
};

// Reads a text of at most 256 MiB and makes its tokens. ReadFile's and
// TextStream's errors; INVALID_ARGUMENT (TEXT_EMPTY) if it has no token.
absl::StatusOr<SourceText> ReadSourceText(const std::string& path,
                                          const Tokenizer& tokenizer);

// How a document is given to the encoder.
enum class ContentKind { kText, kTokenIds };

using Content = std::variant<std::string, std::vector<int32_t>>;

class DocumentFeed {
 public:
  // The first `tokens` tokens of the text repeated without end. Given as text,
  // a document that ends inside a word may have a token more or less.
  DocumentFeed(const SourceText* source, ContentKind kind, int64_t tokens)
      : source_(source), kind_(kind), remaining_(tokens) {}

  // The next piece; none at the end.
  std::optional<Content> Next();

 private:
  const SourceText* source_;
  ContentKind kind_;
  int64_t remaining_;
  int64_t position_ = 0;  // in the source's tokens
};

// Bytes of the whole document as EncoderOptions::max_document_bytes counts
// them.
uint64_t DocumentBytes(const SourceText& source, ContentKind kind,
                       int64_t tokens);

}  // namespace longhand::documents

#endif  // LONGHAND_BENCH_DOCUMENTS_DOCUMENT_FEED_H_
