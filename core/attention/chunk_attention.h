// ChunkAttention: what the mechanisms share whose chunks do not see each other:
// everything happens in Local, there are no states and nothing of retrieval has
// a meaning. Immutable; safe from many threads with distinct ComputeContexts.
#ifndef LONGHAND_CORE_ATTENTION_CHUNK_ATTENTION_H_
#define LONGHAND_CORE_ATTENTION_CHUNK_ATTENTION_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/attention/attention.h"
#include "core/base/check.h"

namespace longhand {

class ChunkAttention : public Attention {
 public:
  bool exchanges() const final { return false; }
  bool exchanges_in(int) const final { return false; }
  const RetrievalOptions& retrieval() const final { return options_.retrieval; }
  StateLayout state_layout(int) const final { return {}; }
  int64_t scratch_floats(int) const final { return 0; }
  std::vector<std::string_view> unused_options() const final {
    return {"anchor_share", "anchors",    "features",  "gate",
            "head_gates",   "merge",      "neighbors", "retrieval_layers",
            "state_codec",  "state_rank", "top_k",     "visibility"};
  }
  int exchange_items() const final { return 0; }
  // Never called: there is no exchange.
  void Exchange(int, const BatchView&, ComputeContext&) const final {
    LH_CHECK(exchanges());
  }
  void Finish(int, const BatchView&, ComputeContext&) const final {
    LH_CHECK(exchanges());
  }

 protected:
  explicit ChunkAttention(const AttentionOptions& options)
      : options_(options) {}

  const AttentionOptions& options() const { return options_; }

 private:
  const AttentionOptions options_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_CHUNK_ATTENTION_H_
