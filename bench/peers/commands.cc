#include "bench/peers/commands.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bench/documents/document_feed.h"
#include "bench/documents/process_memory.h"
#include "bench/peers/document_batch.h"
#include "bench/peers/token_documents.h"
#include "bench/quality/variants.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/compute/precision.h"

namespace longhand::peers {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxRepeats = 1000;
constexpr double kMaxSeconds = 60;
constexpr int kMaxRows = 1 << 16;

absl::Status Invalid(std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "COMMAND_INVALID", what);
}

absl::StatusOr<EncodeOptions> ParseOptions(const Json& command) {
  LH_ASSIGN_OR_RETURN(
      EncodeOptions options,
      quality::ParseEncodeOptions(command.value("options", Json::object())));
  std::string of;
  LH_ASSIGN_OR_RETURN(of, GetString(command, "of", "document"));
  if (of != "document" && of != "chunks") {
    return Invalid("of: document or chunks");
  }
  options.document_vector = of == "document";
  options.chunk_vectors = of == "chunks";
  return options;
}

}  // namespace

absl::StatusOr<PeakCommand> ParsePeakCommand(const Json& command) {
  PeakCommand result;
  LH_ASSIGN_OR_RETURN(result.seconds,
                      GetDouble(command, "seconds", 0, kMaxSeconds));
  const auto rows = command.find("rows");
  if (rows == command.end() || !rows->is_array() || rows->empty()) {
    return Invalid("rows: a list of [rows, chunks] is missing");
  }
  for (const Json& entry : *rows) {
    const auto is_count = [](const Json& value) {
      return value.is_number_integer() && value > 0 && value <= kMaxRows;
    };
    if (!entry.is_array() || entry.size() != 2 || !is_count(entry[0]) ||
        !is_count(entry[1])) {
      return Invalid(absl::StrCat("rows: [rows, chunks], both from 1 to ",
                                  kMaxRows, ", is expected, not ",
                                  entry.dump()));
    }
    result.chunks.push_back({entry[0].get<int>(), entry[1].get<int>()});
  }
  return result;
}

absl::StatusOr<Json> CommandHandler::Handle(std::string_view line) {
  LH_ASSIGN_OR_RETURN(const Json command, ParseJson(line));
  if (!command.is_object()) return Invalid("an object is expected");
  std::string name;
  LH_ASSIGN_OR_RETURN(name, GetString(command, "command"));
  if (name == "info") return Info();
  if (name == "tokenize") return Tokenize(command);
  if (name == "encode") return Encode(command);
  if (name == "peak") return Peak(command);
  if (name == "memory") return Memory();
  return Invalid(absl::StrCat("there is no command ", name));
}

absl::StatusOr<Json> CommandHandler::Info() const {
  const Model& model = encoder_->model();
  const ModelInfo& info = model.info();
  const auto ids = [](absl::Span<const int32_t> span) {
    return std::vector<int32_t>(span.begin(), span.end());
  };
  return Json{{"family", model.config().family},
              {"max_rows", model.config().max_positions()},
              {"pad_token_id", model.config().pad_token_id},
              {"prefix_ids", ids(model.prefix_ids())},
              {"suffix_ids", ids(model.suffix_ids())},
              {"flops_per_row", FlopsPerRow(model.config())},
              {"requested_precision", info.requested_precision},
              {"precision", info.effective_precision},
              {"onednn", info.onednn_version},
              {"isa", info.isa},
              {"weight_bytes", info.weight_bytes},
              {"workers", encoder_->options().workers}};
}

absl::StatusOr<Json> CommandHandler::Tokenize(const Json& command) const {
  std::string text, documents;
  LH_ASSIGN_OR_RETURN(text, GetString(command, "text"));
  LH_ASSIGN_OR_RETURN(documents, GetString(command, "documents"));
  if (encoder_->model().tokenizer() == nullptr) {
    return Invalid("the model was loaded without a tokenizer");
  }
  LH_ASSIGN_OR_RETURN(
      const documents::SourceText source,
      documents::ReadSourceText(text, *encoder_->model().tokenizer()));
  LH_RETURN_IF_ERROR(WriteDocuments(documents, {source.tokens.ids}));
  return Json{{"tokens", source.tokens.size()}};
}

absl::StatusOr<Json> CommandHandler::Encode(const Json& command) const {
  std::string path, vectors;
  LH_ASSIGN_OR_RETURN(path, GetString(command, "documents"));
  LH_ASSIGN_OR_RETURN(vectors, GetString(command, "vectors", ""));
  LH_ASSIGN_OR_RETURN(const int64_t repeats,
                      GetInt(command, "repeats", 1, kMaxRepeats, 1));
  LH_ASSIGN_OR_RETURN(const EncodeOptions options, ParseOptions(command));
  LH_ASSIGN_OR_RETURN(const TokenDocuments batch, ReadDocuments(path));
  BatchResult result;
  documents::ElapsedTime total;
  for (int64_t i = 0; i < repeats; ++i) {
    LH_ASSIGN_OR_RETURN(result, EncodeBatch(*encoder_, options, batch));
    total.wall += result.time.wall;
    total.cpu += result.time.cpu;
  }
  if (!vectors.empty()) {
    LH_RETURN_IF_ERROR(WriteVectors(vectors, result.vectors));
  }
  const int size = encoder_->model().config().output_size();
  return Json{{"wall_seconds", absl::ToDoubleSeconds(total.wall / repeats)},
              {"cpu_seconds", absl::ToDoubleSeconds(total.cpu / repeats)},
              {"rows", result.encoded_tokens},
              {"tokens", result.content_tokens},
              {"chunks", result.chunks},
              {"mechanism", result.mechanism},
              {"state_bytes", result.state_bytes},
              {"peak_working_bytes", result.peak_working_bytes},
              {"vectors", result.vectors.size() / size_t(size)},
              {"size", size}};
}

absl::StatusOr<Json> CommandHandler::Peak(const Json& command) {
  LH_ASSIGN_OR_RETURN(const PeakCommand peak, ParsePeakCommand(command));
  const Model& model = encoder_->model();
  if (!peak_) {
    LH_ASSIGN_OR_RETURN(const Precision precision,
                        PrecisionFromName(model.info().effective_precision));
    LH_ASSIGN_OR_RETURN(peak_, MatmulPeak::Create(model.config(), precision));
  }
  const PeakRate rate =
      peak_->Measure(peak.chunks, encoder_->options().workers, peak.seconds);
  return Json{{"gflops", rate.flops_per_second / 1e9},
              {"rows_per_second", rate.rows_per_second}};
}

absl::StatusOr<Json> CommandHandler::Memory() const {
  documents::ResetMemoryPeak();
  LH_ASSIGN_OR_RETURN(const documents::ProcessMemory memory,
                      documents::ReadProcessMemory());
  return Json{{"resident_bytes", memory.resident_bytes},
              {"weight_bytes", encoder_->model().info().weight_bytes}};
}

}  // namespace longhand::peers
