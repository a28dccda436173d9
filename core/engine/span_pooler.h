// SpanPooler: one vector for each span of text that the caller gave, from the
// hidden states of the tokens that reach into it, whichever chunks they were
// computed in (late chunking; Günther et al. 2024, arXiv:2409.04701). Takes the
// chunks in document order. Owned by one document; not thread-safe.
#ifndef LONGHAND_CORE_ENGINE_SPAN_POOLER_H_
#define LONGHAND_CORE_ENGINE_SPAN_POOLER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/engine/encode_types.h"
#include "core/pooling/pooler.h"

namespace longhand {

class SpanPooler {
 public:
  // `pooler` must outlive it.
  SpanPooler(std::vector<ByteSpan> spans, const Pooler* pooler);

  // The own tokens of a chunk, with their places in the text.
  struct Tokens {
    int64_t first = 0;                      // position in the document
    absl::Span<const uint64_t> begin, end;  // [tokens] bytes
    const float* hidden = nullptr;          // [tokens, hidden_size]
    int hidden_size = 0;
  };

  // Appends the spans that are complete: no later token can reach into them,
  // because the next one begins at `next_begin`. Their vectors are pooled, not
  // scaled. INVALID_ARGUMENT (SPAN_EMPTY) for a span without tokens,
  // (TOO_MANY_SPANS) if more than kMaxOpen reach over one chunk.
  absl::Status Add(const Tokens& tokens, uint64_t next_begin,
                   std::vector<SpanResult>* complete);

  // Ends the document of `length` bytes; appends the rest. INVALID_ARGUMENT
  // (SPAN_EMPTY, SPAN_INVALID for one that does not lie inside).
  absl::Status Finish(uint64_t length, std::vector<SpanResult>* complete);

 private:
  struct Open {
    SpanResult result;
    PoolState state;
    bool has_tokens = false;
  };

  // Each chunk is pooled once for every span that is open there.
  static constexpr size_t kMaxOpen = 1024;

  absl::Status OpenUntil(uint64_t byte);
  void Pool(const Tokens& tokens, Open* open) const;
  absl::Status Complete(Open open, std::vector<SpanResult>* complete) const;

  const Pooler* const pooler_;
  const std::vector<ByteSpan> spans_;
  std::vector<int32_t> waiting_;  // places in spans_, the next one last
  std::vector<Open> open_;        // those that tokens may still reach into
  int hidden_size_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_SPAN_POOLER_H_
