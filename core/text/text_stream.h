// TextStream: turns the bytes of one document, arriving in pieces cut anywhere,
// into the same tokens that the whole text gives. It validates UTF-8, joins
// characters that were cut, and holds back the tail that later bytes could
// still change. Which tokens are out depends on the bytes alone, not on their
// pieces. A value: a copy goes on on its own. One per document; not
// thread-safe. Borrows the tokenizer.
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
  static constexpr size_t kSegmentBytes = 1024;
  static constexpr size_t kMaxPieceBytes = 8 * 1024 * 1024;

  // `tokenizer` must outlive the stream. Text is handed to the tokenizer in
  // pieces of about `segment_bytes` where the tokenizer allows cuts: small, so
  // that a slow stream gets its first chunks early. Between
  // two such places there may be `max_piece_bytes`: the tokenizer needs up to
  // 0.5 KiB of memory for each byte of a piece.
  explicit TextStream(const Tokenizer* tokenizer,
                      size_t segment_bytes = kSegmentBytes,
                      size_t max_piece_bytes = kMaxPieceBytes);

  // The same text from `restart_byte` on, a place that restart_byte() of an
  // earlier stream with the same limits gave: goes on as that one did, offsets
  // counted from the document's start.
  static TextStream From(const Tokenizer* tokenizer, uint64_t restart_byte,
                         size_t segment_bytes = kSegmentBytes,
                         size_t max_piece_bytes = kMaxPieceBytes);

  // Takes the next bytes and appends the tokens that have become final.
  // INVALID_ARGUMENT, reason INVALID_UTF8, if the text is not UTF-8; metadata
  // "byte_offset" counts from the document's first byte to the first that is
  // not part of a whole character. INVALID_ARGUMENT, reason TEXT_UNBROKEN, with
  // "limit_bytes" and "byte_offset" (of the last cut), if there is no place for
  // a cut in more than max_piece_bytes. Every later call returns the same
  // error.
  absl::Status Append(std::string_view bytes, TokenSequence* tokens);

  // Ends the document: appends the remaining tokens. INVALID_UTF8 if it ends
  // inside a character. REQUIRES: called once, nothing appended afterwards.
  absl::Status Finish(TokenSequence* tokens);

  // Bytes of the document up to here, those before a restart included.
  uint64_t received_bytes() const { return received_bytes_; }
  // Bytes taken whose tokens have not been handed out.
  size_t held_bytes() const { return held_.size(); }
  // A place where tokens can begin anew: all tokens handed out so far are those
  // of the bytes before it, whatever follows. It was chosen by the bytes before
  // the next such place alone.
  uint64_t restart_byte() const { return held_offset_; }

 private:
  // Validates what has arrived, notes the last place to cut, and tokenizes up
  // to it once segment_bytes_ are there.
  absl::Status Scan(TokenSequence* tokens);
  // Tokenizes the first `size` held bytes.
  absl::Status Flush(size_t size, TokenSequence* tokens);

  const Tokenizer* tokenizer_;
  size_t max_piece_bytes_;
  size_t segment_bytes_;
  std::string held_;          // not yet tokenized
  uint64_t held_offset_ = 0;  // of held_[0] in the document
  size_t scanned_ = 0;        // prefix of held_ known to be UTF-8
  size_t cut_ = 0;            // last cut in that prefix, 0 if none
  char32_t last_char_ = 0;    // before held_[scanned_]
  uint64_t received_bytes_ = 0;
  absl::Status status_;
  bool finished_ = false;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_TEXT_TEXT_STREAM_H_
