// Experiment: answers the queries of a corpus with the vectors of each variant
// and measures how well and how fast. One thread at a time.
#ifndef LONGHAND_BENCH_QUALITY_EXPERIMENT_H_
#define LONGHAND_BENCH_QUALITY_EXPERIMENT_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "bench/quality/corpus.h"
#include "bench/quality/document_encoder.h"
#include "bench/quality/metrics.h"
#include "bench/quality/query_file.h"
#include "bench/quality/variants.h"
#include "bench/quality/vector_cache.h"

namespace longhand::quality {

// One task and half under one variant.
struct TaskResult {
  std::string task;
  Half half = Half::kDev;
  std::vector<int> ranks;   // [queries]
  std::vector<int> groups;  // [queries], the document of each
  RetrievalMetrics metrics;
  // Share of queries for which one chunk holds most of the gold range.
  double undivided = 0;
};

// Medians over rounds in which the variant and `independent` took turns.
struct Speed {
  double tokens_per_second = 0;  // of content: special tokens not counted
  double relative = 0;           // to `independent`
};

struct VariantResult {
  Variant variant;
  uint64_t chunks = 0;
  uint64_t encoded_tokens = 0;  // rows computed for the corpus
  std::optional<Speed> speed;
  std::vector<TaskResult> tasks;  // by task, dev before test
};

enum class SpeedPolicy { kNever, kNewVectors, kAlways };

struct ExperimentOptions {
  SpeedPolicy speed = SpeedPolicy::kNewVectors;
  int speed_rounds = 3;
  bool refresh = false;  // encode whatever the cache holds
};

class Experiment {
 public:
  // All pointers outlive it; `cache` may be null.
  Experiment(const Corpus* corpus, const QueryFile* queries,
             DocumentEncoder* encoder, const VectorCache* cache,
             const ExperimentOptions& options);

  // Encodes the queries, each as a document of its own, without mixing.
  // INVALID_ARGUMENT if a query names a document that the corpus lacks.
  absl::Status Prepare();

  // REQUIRES: Prepare() succeeded; `variant.of`, if any, was run before.
  absl::StatusOr<VariantResult> Run(const Variant& variant);

 private:
  struct Encoded {
    std::vector<DocumentVectors> documents;
    bool cached = false;
  };

  absl::StatusOr<Encoded> EncodeCached(std::string_view purpose,
                                       const Variant& variant,
                                       const std::vector<std::string>& texts,
                                       bool whole);
  absl::StatusOr<Encoded> EncodeVariant(const Variant& variant);
  absl::StatusOr<Encoded> EncodePrefixed(const Variant& variant);
  bool StillSame(const std::vector<DocumentVectors>& cached,
                 const Variant& variant, const std::vector<std::string>& texts);
  // The texts that a variant encodes for some documents.
  std::vector<std::string> TextsOf(const Variant& variant,
                                   absl::Span<const size_t> documents) const;
  absl::StatusOr<Speed> MeasureSpeed(const Variant& variant);
  std::vector<TaskResult> Answer(
      const std::vector<DocumentVectors>& documents) const;

  const Corpus* const corpus_;
  const QueryFile* const queries_;
  DocumentEncoder* const encoder_;
  const VectorCache* const cache_;
  const ExperimentOptions options_;
  std::vector<std::string> texts_;    // [documents]
  std::vector<float> query_vectors_;  // [queries, hidden]
  std::map<std::string, size_t> document_of_id_;
  std::map<std::string, std::vector<DocumentVectors>> done_;  // by variant
};

}  // namespace longhand::quality

#endif  // LONGHAND_BENCH_QUALITY_EXPERIMENT_H_
