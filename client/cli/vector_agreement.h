// How well the vectors of encodings of one document agree. All const; safe from
// any thread.
#ifndef LONGHAND_CLIENT_CLI_VECTOR_AGREEMENT_H_
#define LONGHAND_CLIENT_CLI_VECTOR_AGREEMENT_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "client/encode_result.h"

namespace longhand::client {

// Cosines are 0 where a vector is 0.
struct VectorAgreement {
  // Of the document vectors; nullopt unless both have one of the same length.
  std::optional<double> document_cosine;
  // Of the chunks' vectors, each with that of the same chunk; nullopt unless
  // the chunks lie at the same tokens and have vectors of the same length.
  std::optional<double> mean_cosine, min_cosine;
  // Share of the chunks whose nearest other chunk is the same; nullopt as
  // above, and for a document of one chunk.
  std::optional<double> same_nearest_share;
};

// For each chunk the other one whose vector has the highest cosine, the first
// of several; empty for less than two chunks, for more than kMaxNearestChunks
// (the time grows with the square), or vectors that are not of one length.
inline constexpr size_t kMaxNearestChunks = 10'000;
std::vector<size_t> NearestOthers(absl::Span<const Chunk> chunks);

// The encoding that others are compared with.
class ReferenceVectors {
 public:
  // `encoded` must outlive the object.
  explicit ReferenceVectors(const EncodeResult* encoded);

  VectorAgreement Compare(const EncodeResult& other) const;

 private:
  const EncodeResult& encoded_;
  const std::vector<size_t> nearest_;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_VECTOR_AGREEMENT_H_
