// ContentCutter: cuts the content of one document into the records of its
// chunks as it arrives, and holds what waits for its chunk to fill up. What it
// has handed out depends on the content so far alone, not on its pieces. A
// value: a copy goes on on its own. Not thread-safe. Borrows the encoder.
#ifndef LONGHAND_CORE_SESSION_CONTENT_CUTTER_H_
#define LONGHAND_CORE_SESSION_CONTENT_CUTTER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/chunking/chunker.h"
#include "core/session/document_encoder.h"
#include "core/store/chunk_record.h"
#include "core/text/text_stream.h"
#include "core/text/token_sequence.h"

namespace longhand {

// A chunk that is final, but not encoded.
struct CutChunk {
  ChunkRecord record;
  std::vector<int32_t> window_ids;  // of record.place's window
};

class ContentCutter {
 public:
  explicit ContentCutter(const DocumentEncoder* encoder);
  ContentCutter(const ContentCutter& other);
  ContentCutter& operator=(const ContentCutter&) = delete;
  ContentCutter(ContentCutter&&) = default;
  ContentCutter& operator=(ContentCutter&&) = default;

  // Takes the next piece; appends the chunks that became final. A document has
  // either text or ids. After an error it is of no use. Errors of AddText:
  // TOKENIZER_MISSING, INVALID_UTF8, TEXT_UNBROKEN.
  absl::Status AddText(std::string_view text, std::vector<CutChunk>* out);
  // REQUIRES: the ids are in the vocabulary.
  void AddIds(absl::Span<const int32_t> ids, std::vector<CutChunk>* out);
  // Ends the content: appends the other chunks. INVALID_UTF8.
  absl::Status Finish(std::vector<CutChunk>* out);

  // Takes the first content of a document that was cut before, without making
  // its tokens again: the part of `record` that lies before `restart`. Records
  // that begin before it come in order, before anything else; AddText goes on
  // at `restart`.
  void Replay(const ChunkRecord& record, const RestartPoint& restart,
              std::vector<CutChunk>* out);

  bool needs_text() const { return chunker_->needs_text(); }
  // Content taken so far.
  uint64_t received_bytes() const { return received_bytes_; }
  uint64_t received_tokens() const {
    return uint64_t(first_token_) + tokens_.size();
  }
  // The end of the last chunk.
  uint64_t cut_bytes() const { return cut_bytes_; }
  uint64_t cut_tokens() const { return uint64_t(cut_tokens_); }
  // The text behind it, and the ids that are there behind it.
  std::string_view waiting_text() const {
    return std::string_view(text_).substr(cut_bytes_ - text_begin_);
  }
  absl::Span<const int32_t> waiting_ids() const {
    return absl::MakeConstSpan(tokens_.ids)
        .subspan(size_t(cut_tokens_ - first_token_));
  }
  // Bytes in memory, the chunker left out.
  uint64_t own_bytes() const;

 private:
  // Every token of a text stands in some bytes of it.
  bool is_text() const { return received_bytes_ > 0; }
  // What arrived together goes to the chunker together.
  void Take(std::string_view text, const TokenSequence& tokens,
            std::vector<CutChunk>* out);
  void TakeChunks(std::vector<CutChunk>* out);
  CutChunk Cut(const Chunk& place);
  uint64_t EndByte(const Chunk& place) const;
  RestartPoint RestartBefore(int64_t token);
  void NoteRestart(const RestartPoint& restart);
  // Lets go of what no further chunk can need.
  void DropBefore(const Chunk& last);

  const DocumentEncoder* encoder_;
  std::unique_ptr<Chunker> chunker_;
  std::optional<TextStream> stream_;  // from the first text on
  std::vector<Chunk> places_;         // from the chunker, on their way out

  // The text from text_begin_ on, at the latest from the end of the last chunk;
  // tokens from first_token_ on, at the latest from the last chunk's window on.
  std::string text_;
  uint64_t text_begin_ = 0;
  uint64_t received_bytes_ = 0;
  TokenSequence tokens_;
  int64_t first_token_ = 0;
  uint64_t cut_bytes_ = 0;
  int64_t cut_tokens_ = 0;
  // From the last one before the chunk that fills up on, ascending.
  std::deque<RestartPoint> restarts_{RestartPoint()};
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_CONTENT_CUTTER_H_
