#include "bench/documents/state_codecs.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "bench/documents/document_run.h"
#include "bench/documents/median.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/state/state_codec.h"

namespace longhand::documents {
namespace {

constexpr char kUncompressed[] = "f32";
constexpr char kLowRank[] = "low_rank";
// Of the document that is encoded before anything is timed.
constexpr int64_t kWarmUpTokens = 8'192;

struct Variant {
  std::string name;
  EncodeOptions options;
};

// One document's result.
struct Vectors {
  std::vector<float> chunks;  // [chunks, hidden]
  DocumentRun run;
};

// A variant's first vectors and the times of all its runs.
struct Measured {
  Variant variant;
  std::optional<Vectors> vectors;
  std::vector<ElapsedTime> times;  // [rounds]
};

// f32 first: the others are compared with it.
std::vector<Variant> MakeVariants(const EncodeOptions& options,
                                  const std::vector<int>& ranks) {
  std::vector<Variant> variants;
  for (const std::string& codec : StateCodecRegistry().Names()) {
    Variant variant = {codec, options};
    variant.options.state_codec = codec;
    if (codec != kLowRank) {
      const auto place =
          codec == kUncompressed ? variants.begin() : variants.end();
      variants.insert(place, std::move(variant));
      continue;
    }
    for (int rank : ranks) {
      variant.name = absl::StrCat(codec, " ", rank);
      variant.options.state_rank = rank;
      variants.push_back(variant);
    }
  }
  return variants;
}

absl::StatusOr<Vectors> Encode(Encoder& encoder, const EncodeOptions& options,
                               const DocumentFeed& feed) {
  Vectors vectors;
  LH_ASSIGN_OR_RETURN(
      vectors.run,
      EncodeDocument(encoder, options, feed,
                     {.on_chunk = [&vectors](const ChunkResult& chunk) {
                       vectors.chunks.insert(vectors.chunks.end(),
                                             chunk.vector.begin(),
                                             chunk.vector.end());
                     }}));
  return vectors;
}

double Cosine(absl::Span<const float> a, absl::Span<const float> b) {
  double product = 0, a_square = 0, b_square = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += double{a[i]} * b[i];
    a_square += double{a[i]} * a[i];
    b_square += double{b[i]} * b[i];
  }
  const double norms = std::sqrt(a_square * b_square);
  return norms > 0 ? product / norms : 0;
}

void CompareVectors(const Vectors& exact, const Vectors& packed, size_t hidden,
                    CodecRow* row) {
  const absl::Span<const float> a = exact.chunks, b = packed.chunks;
  double sum = 0;
  row->min_cosine = 1;
  for (size_t begin = 0; begin < a.size(); begin += hidden) {
    const double cosine =
        Cosine(a.subspan(begin, hidden), b.subspan(begin, hidden));
    row->min_cosine = std::min(row->min_cosine, cosine);
    sum += cosine;
  }
  row->mean_cosine = sum / (double(a.size()) / double(hidden));
  row->document_cosine = Cosine(exact.run.summary.document_vector,
                                packed.run.summary.document_vector);
}

void CompareTimes(const Measured& exact, const Measured& packed,
                  CodecRow* row) {
  std::vector<double> wall, cpu;
  for (size_t round = 0; round < exact.times.size(); ++round) {
    const ElapsedTime& a = exact.times[round];
    const ElapsedTime& b = packed.times[round];
    wall.push_back(absl::FDivDuration(b.wall, a.wall));
    cpu.push_back(absl::FDivDuration(b.cpu, a.cpu));
  }
  row->wall_ratio = Median(std::move(wall));
  row->cpu_ratio = Median(std::move(cpu));
}

CodecRow MakeRow(const Measured& exact, const Measured& packed, size_t hidden) {
  const EncodeSummary& summary = packed.vectors->run.summary;
  CodecRow row;
  const double bytes = double(summary.state_bytes);
  row.bytes_per_chunk = bytes / double(summary.chunk_count);
  row.bytes_per_1k_tokens = bytes * 1000 / double(summary.received_tokens);
  row.size_ratio = bytes / double(exact.vectors->run.summary.state_bytes);
  CompareVectors(*exact.vectors, *packed.vectors, hidden, &row);
  CompareTimes(exact, packed, &row);
  return row;
}

// Runs all variants `rounds` times, one after the other.
absl::Status Measure(Encoder& encoder, const DocumentFeed& feed, int rounds,
                     std::vector<Measured>* all) {
  for (int round = 0; round < rounds; ++round) {
    for (Measured& one : *all) {
      LH_ASSIGN_OR_RETURN(Vectors vectors,
                          Encode(encoder, one.variant.options, feed));
      one.times.push_back(vectors.run.time);
      if (!one.vectors) one.vectors = std::move(vectors);
    }
  }
  return absl::OkStatus();
}

absl::Status MeasureMechanism(Encoder& encoder, const SourceText& source,
                              const CodecOptions& options,
                              const std::string& mechanism,
                              CodecReport* report) {
  EncodeOptions encode = options.encode;
  encode.mechanism = mechanism;
  if (mechanism == "bsbr_exact" && !encode.top_k) {
    encode.top_k = options.exact_top_k;
  }
  std::vector<Measured> accepted;
  std::vector<CodecRow> refused;
  for (Variant& variant : MakeVariants(encode, options.ranks)) {
    const absl::Status status =
        encoder.ResolveOptions(variant.options).status();
    if (status.ok()) {
      accepted.push_back({.variant = std::move(variant)});
      continue;
    }
    CodecRow row = {.mechanism = mechanism, .codec = variant.name};
    row.refused = std::string(status.message());
    refused.push_back(std::move(row));
  }
  if (!accepted.empty() && accepted[0].variant.name == kUncompressed) {
    const DocumentFeed warm_up(&source, ContentKind::kText,
                               std::min(options.tokens, kWarmUpTokens));
    LH_RETURN_IF_ERROR(
        EncodeDocument(encoder, accepted[0].variant.options, warm_up).status());
    LH_RETURN_IF_ERROR(Measure(
        encoder, DocumentFeed(&source, ContentKind::kText, options.tokens),
        options.rounds, &accepted));
    for (const Measured& one : accepted) {
      CodecRow row = MakeRow(accepted[0], one,
                             size_t(encoder.model().config().output_size()));
      row.mechanism = mechanism;
      row.codec = one.variant.name;
      report->rows.push_back(std::move(row));
    }
    const EncodeSummary& summary = accepted[0].vectors->run.summary;
    report->tokens = summary.received_tokens;
    report->chunks = summary.chunk_count;
  }
  std::move(refused.begin(), refused.end(), std::back_inserter(report->rows));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CodecReport> MeasureStateCodecs(Encoder& encoder,
                                               const SourceText& source,
                                               const CodecOptions& options) {
  CodecReport report;
  for (const std::string& mechanism : options.mechanisms) {
    const absl::Status status =
        MeasureMechanism(encoder, source, options, mechanism, &report);
    if (!status.ok()) return WithContext(status, "DOCUMENT_FAILED", mechanism);
  }
  return report;
}

std::string FormatTable(const CodecReport& report) {
  std::string table =
      absl::StrFormat("%-14s %-12s %12s %12s %6s %8s %8s %8s %6s %6s\n",
                      "mechanism", "codec", "bytes/chunk", "bytes/1k tok",
                      "size", "worst", "mean", "document", "time", "CPU");
  for (const CodecRow& row : report.rows) {
    absl::StrAppendFormat(&table, "%-14s %-12s ", row.mechanism, row.codec);
    if (!row.refused.empty()) {
      absl::StrAppend(&table, "refused: ", row.refused, "\n");
      continue;
    }
    // Sums of squares end with a rounding error of either sign.
    const auto error = [](double cosine) { return std::max(0.0, 1 - cosine); };
    absl::StrAppendFormat(
        &table, "%12.0f %12.0f %6.3f %8.1e %8.1e %8.1e %6.2f %6.2f\n",
        row.bytes_per_chunk, row.bytes_per_1k_tokens, row.size_ratio,
        error(row.min_cosine), error(row.mean_cosine),
        error(row.document_cosine), row.wall_ratio, row.cpu_ratio);
  }
  absl::StrAppend(&table,
                  "size, time, CPU: over those of f32; worst, mean (chunk "
                  "vectors), document: 1 - cosine with f32\n");
  return table;
}

nlohmann::json ToJson(const CodecReport& report) {
  nlohmann::json rows = nlohmann::json::array();
  for (const CodecRow& row : report.rows) {
    nlohmann::json one = {{"mechanism", row.mechanism}, {"codec", row.codec}};
    if (!row.refused.empty()) {
      one["refused"] = row.refused;
    } else {
      one.update({{"bytes_per_chunk", row.bytes_per_chunk},
                  {"bytes_per_1k_tokens", row.bytes_per_1k_tokens},
                  {"size_ratio", row.size_ratio},
                  {"min_cosine", row.min_cosine},
                  {"mean_cosine", row.mean_cosine},
                  {"document_cosine", row.document_cosine},
                  {"wall_ratio", row.wall_ratio},
                  {"cpu_ratio", row.cpu_ratio}});
    }
    rows.push_back(std::move(one));
  }
  return {{"tokens", report.tokens}, {"chunks", report.chunks}, {"rows", rows}};
}

}  // namespace longhand::documents
