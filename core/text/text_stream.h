// TextStream: turns the bytes of one document, arriving in pieces cut anywhere,
// into the same tokens that the whole text gives. It validates UTF-8, joins
// characters that were cut, and holds back the tail that later bytes could
// still change. One per document; not thread-safe. Borrows the tokenizer.
#ifndef LONGHAND_CORE_TEXT_TEXT_STREAM_H_
#define LONGHAND_CORE_TEXT_TEXT_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "core/text/token_sequence.h"
#include "core/text/tokenizer.h"

namespace longhand {

class TextStream {
 public:
  // `tokenizer` must outlive the stream. Text is handed to the tokenizer in
  // pieces of about `segment_bytes` where the tokenizer allows cuts.
  explicit TextStream(const Tokenizer* tokenizer,
                      size_t segment_bytes = 64 * 1024);

  // Takes the next bytes and appends the tokens that have become final.
  // INVALID_ARGUMENT, reason INVALID_UTF8, with metadata "byte_offset" (from
  // the document's first byte) if the text is not UTF-8; the stream is then
  // unusable.
  absl::Status Append(std::string_view bytes, TokenSequence* tokens);

  // Ends the document: appends the remaining tokens. INVALID_UTF8 if it ends
  // inside a character. REQUIRES: called once, nothing appended afterwards.
  absl::Status Finish(TokenSequence* tokens);

  // Bytes taken so far.
  uint64_t received_bytes() const { return received_bytes_; }
  // Bytes taken whose tokens have not been handed out.
  size_t held_bytes() const { return held_.size(); }

 private:
  absl::Status Flush(size_t size, TokenSequence* tokens);

  const Tokenizer* const tokenizer_;
  const size_t segment_bytes_;
  std::string held_;             // not yet tokenized
  size_t validated_ = 0;         // prefix of held_ known to be UTF-8
  uint64_t held_offset_ = 0;     // of held_[0] in the document
  uint64_t received_bytes_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_TEXT_TEXT_STREAM_H_
