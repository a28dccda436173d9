#include "client/cli/mechanism_comparison.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/json_output.h"
#include "client/client_error.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// What is wrong with a document whatever the mechanism.
constexpr absl::string_view kDocumentReasons[] = {
    "EMPTY_DOCUMENT", "INVALID_UTF8", "TEXT_UNBROKEN", "TOKENIZER_MISSING"};

// Whether the error says nothing about the mechanism.
bool EndsComparison(const absl::Status& status) {
  if (absl::IsCancelled(status) || absl::IsUnavailable(status) ||
      absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status)) {
    return true;
  }
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  if (!detail) return false;
  if (detail->domain == kClientDomain) {
    return absl::StartsWith(detail->reason, "INPUT_");
  }
  return std::find(std::begin(kDocumentReasons), std::end(kDocumentReasons),
                   detail->reason) != std::end(kDocumentReasons);
}

// The option that the mechanism, by this error, does not look at; "": it is
// another error. What the chunker does not look at is left to the caller.
std::string UnusedOption(const absl::Status& status) {
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  if (!detail) return "";
  const auto field = detail->metadata.find("field");
  if (field == detail->metadata.end() || field->second == "min_chunk_tokens" ||
      field->second == "overlap_tokens") {
    return "";
  }
  // A mechanism with one visibility answers with the second.
  const bool unused = detail->reason == "OPTION_UNUSED" ||
                      detail->reason == "RETRIEVAL_OPTIONS";
  return unused ? field->second : "";
}

// Encodes the document, rewinding it first.
class Runner {
 public:
  Runner(EncoderClient* client, const ComparisonRequest& request,
         const ComparisonHooks& hooks, const CallOptions& call)
      : client_(client), request_(request), hooks_(hooks), call_(call) {}

  // With another error than those of a mechanism, no result.
  absl::StatusOr<MechanismResult> Run(const std::string& mechanism) {
    MechanismResult result;
    result.mechanism = mechanism;
    v1::EncodeOptions options = request_.options;
    options.set_mechanism(mechanism);
    std::vector<double> total, compute;
    for (int i = 0; i < request_.repeat; ++i) {
      absl::StatusOr<EncodeResult> encoded =
          EncodeWhatItLooksAt(&options, &result.unused_options);
      if (!encoded.ok()) {
        if (EndsComparison(encoded.status())) return encoded.status();
        result.status = encoded.status();
        return result;
      }
      const v1::EncodeTimings& timings = encoded->summary.timings();
      total.push_back(absl::ToDoubleSeconds(ToDuration(timings.total())));
      compute.push_back(absl::ToDoubleSeconds(ToDuration(timings.compute())));
      if (i == 0) result.encoded = *std::move(encoded);
    }
    result.total_seconds = Median(std::move(total));
    result.compute_seconds = Median(std::move(compute));
    return result;
  }

 private:
  // Leaves out of `options` what the server says is not looked at.
  absl::StatusOr<EncodeResult> EncodeWhatItLooksAt(
      v1::EncodeOptions* options, std::vector<std::string>* unused) {
    for (;;) {
      absl::StatusOr<EncodeResult> encoded = Encode(*options);
      if (encoded.ok()) return encoded;
      const std::string option = UnusedOption(encoded.status());
      // Each can be cleared once, so this ends.
      if (option.empty() || !ClearOption(option, options)) return encoded;
      unused->push_back(option);
    }
  }

  absl::StatusOr<EncodeResult> Encode(const v1::EncodeOptions& options) {
    if (std::exchange(was_read_, true) && !request_.text->Rewind()) {
      return MakeClientError(absl::StatusCode::kFailedPrecondition,
                             "INPUT_NOT_SEEKABLE",
                             "the document cannot be read a second time; give "
                             "it as a file");
    }
    if (hooks_.on_run) hooks_.on_run(options.mechanism());
    StreamRequest stream;
    stream.options = options;
    stream.text = request_.text;
    stream.piece_bytes = request_.piece_bytes;
    StreamCallbacks callbacks;
    callbacks.on_progress = hooks_.on_progress;
    return client_->EncodeStream(stream, callbacks, call_);
  }

  EncoderClient* const client_;
  const ComparisonRequest& request_;
  const ComparisonHooks& hooks_;
  const CallOptions& call_;
  bool was_read_ = false;
};

}  // namespace

absl::StatusOr<std::vector<MechanismResult>> CompareMechanisms(
    EncoderClient* client, const ComparisonRequest& request,
    const ComparisonHooks& hooks, const CallOptions& call) {
  Runner runner(client, request, hooks, call);
  std::vector<MechanismResult> results;
  for (const std::string& mechanism : request.mechanisms) {
    LH_CLIENT_ASSIGN_OR_RETURN(MechanismResult result, runner.Run(mechanism));
    results.push_back(std::move(result));
  }
  const auto reference = std::find_if(
      results.begin(), results.end(), [&](const MechanismResult& result) {
        return result.mechanism == request.reference && result.status.ok();
      });
  if (reference == results.end()) return results;
  const ReferenceVectors vectors(&reference->encoded);
  for (MechanismResult& result : results) {
    if (result.status.ok()) result.agreement = vectors.Compare(result.encoded);
  }
  return results;
}

bool ClearOption(const std::string& name, v1::EncodeOptions* options) {
  const auto clear = [&name](google::protobuf::Message* message) {
    const auto* field = message->GetDescriptor()->FindFieldByName(name);
    if (field == nullptr) return false;
    const auto* reflection = message->GetReflection();
    const bool is_set = field->is_repeated()
                            ? reflection->FieldSize(*message, field) > 0
                            : reflection->HasField(*message, field);
    reflection->ClearField(message, field);
    return is_set;
  };
  if (clear(options)) return true;
  if (!options->has_mechanism_options()) return false;
  return clear(options->mutable_mechanism_options());
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle]
                                : (values[middle - 1] + values[middle]) / 2;
}

absl::Status SummarizeFailures(const std::vector<MechanismResult>& results) {
  const MechanismResult* first = nullptr;
  size_t failed = 0;
  for (const MechanismResult& result : results) {
    if (result.status.ok()) continue;
    if (failed++ == 0) first = &result;
  }
  if (first == nullptr) return absl::OkStatus();
  absl::Status status(
      first->status.code(),
      absl::StrCat(failed, " of ", results.size(), " mechanisms failed; ",
                   first->mechanism, ": ", first->status.message()));
  first->status.ForEachPayload(
      [&status](absl::string_view url, const absl::Cord& payload) {
        status.SetPayload(url, payload);
      });
  return status;
}

}  // namespace longhand::client
