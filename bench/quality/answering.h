// Answering queries by exact search: the rank of each query's answer among the
// chunks of its collection or its document. Pure functions.
#ifndef LONGHAND_BENCH_QUALITY_ANSWERING_H_
#define LONGHAND_BENCH_QUALITY_ANSWERING_H_

#include <cstddef>
#include <vector>

#include "absl/types/span.h"
#include "bench/quality/document_encoder.h"
#include "bench/quality/variants.h"

namespace longhand::quality {

// A query whose answer is `gold` in document `document` of the pool.
struct Question {
  absl::Span<const float> vector;  // [hidden], L2 norm 1
  size_t document = 0;
  ByteRange gold;
};

struct Answers {
  std::vector<int> ranks;  // [questions]
  int undivided = 0;       // gold ranges of which one chunk holds most
};

// Scores are dot products. `within_document` ranks against the chunks of the
// question's document only.
Answers RankAnswers(absl::Span<const DocumentVectors* const> pool,
                    absl::Span<const Question> questions, bool within_document);

// Each chunk's vector plus `weight` times a vector of its document (that of its
// first chunk, or the mean of all), scaled to L2 norm 1.
DocumentVectors AddDocumentVector(const DocumentVectors& document,
                                  Addition addition, float weight);

}  // namespace longhand::quality

#endif  // LONGHAND_BENCH_QUALITY_ANSWERING_H_
