// What the codecs of chunk states cost and save: bytes, the change of vectors
// against uncompressed states, and time. One thread at a time.
#ifndef LONGHAND_BENCH_DOCUMENTS_STATE_CODECS_H_
#define LONGHAND_BENCH_DOCUMENTS_STATE_CODECS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/documents/document_feed.h"
#include "core/engine/encoder.h"
#include "nlohmann/json.hpp"

namespace longhand::documents {

struct CodecOptions {
  // For all rows; mechanism and codec are filled in.
  EncodeOptions encode;
  std::vector<std::string> mechanisms;
  std::vector<int> ranks;  // of low_rank
  // top_k of bsbr_exact where `encode` has none.
  int exact_top_k = 4;
  int64_t tokens = 0;
  int rounds = 1;  // alternate runs of a mechanism's codecs
};

struct CodecRow {
  std::string mechanism;
  std::string codec;  // low_rank with its rank: "low_rank 4"
  // Empty if measured, else why the encoder does not take this combination.
  std::string refused;
  double bytes_per_chunk = 0;
  double bytes_per_1k_tokens = 0;
  // Bytes over those of f32.
  double size_ratio = 0;
  // Cosines with the vectors of f32: of the chunks, and of the document.
  double min_cosine = 0;
  double mean_cosine = 0;
  double document_cosine = 0;
  // Time over that of f32 in the same round, median over the rounds.
  double wall_ratio = 0;
  double cpu_ratio = 0;
};

struct CodecReport {
  std::vector<CodecRow> rows;
  uint64_t tokens = 0;
  int64_t chunks = 0;
};

// Every registered codec for every mechanism. The document's errors; a
// combination that the encoder refuses is a row.
absl::StatusOr<CodecReport> MeasureStateCodecs(Encoder& encoder,
                                               const SourceText& source,
                                               const CodecOptions& options);

std::string FormatTable(const CodecReport& report);
nlohmann::json ToJson(const CodecReport& report);

}  // namespace longhand::documents

#endif  // LONGHAND_BENCH_DOCUMENTS_STATE_CODECS_H_
