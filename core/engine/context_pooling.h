// Pooling in context: a chunk's vector with some of the document's in it. With
// unit(x) = x / |x|, e_i the pooled vector of chunk i and weights a and b, of
// which b may be negative, to take away what all chunks have in common:
//   v = unit(e_i) + a unit(e_0) + b mean over j of unit(e_j)
// then of length 1, or of e_i's for models that do not normalise. With b the
// vectors wait for the document's end, and a document of one chunk keeps its
// own. Owned by one document; not thread-safe.
#ifndef LONGHAND_CORE_ENGINE_CONTEXT_POOLING_H_
#define LONGHAND_CORE_ENGINE_CONTEXT_POOLING_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/engine/encode_types.h"

namespace longhand {

class ContextPooling {
 public:
  struct Options {
    float anchor_weight = 0;
    float document_weight = 0;
    bool normalize = false;
  };

  explicit ContextPooling(const Options& options) : options_(options) {}

  // Takes the pooled vector of the next chunk.
  void AddChunk(absl::Span<const float> pooled);

  // Whether Apply needs all chunks of the document to be added.
  bool waits_for_document() const { return options_.document_weight != 0; }

  // vector[hidden], pooled from a chunk or a span, in place. REQUIRES: the
  // first chunk was added.
  ContextMix Apply(absl::Span<float> vector) const;

 private:
  bool is_mixing() const {
    return options_.anchor_weight != 0 || options_.document_weight != 0;
  }

  const Options options_;
  std::vector<float> anchor_;  // unit, [hidden]
  std::vector<double> sum_;    // of units, [hidden]
  int64_t chunks_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_CONTEXT_POOLING_H_
