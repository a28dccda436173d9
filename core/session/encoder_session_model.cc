#include "core/session/encoder_session_model.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/engine/encode_options.h"
#include "core/session/model_document_encoder.h"

namespace longhand {
namespace {

absl::Status Invalid(std::string_view reason, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message);
}

absl::Status CheckOutputs(const EncodeOptions& options) {
  if (options.document_weight.value_or(0) != 0) {
    return Invalid("DOCUMENT_WEIGHT_IN_SESSION",
                   "document_weight needs the document's end, which a session "
                   "does not wait for; leave it out, or encode the document in "
                   "one call");
  }
  const char* output = nullptr;
  if (!options.spans.empty()) output = "spans";
  if (options.token_vectors) output = "token vectors";
  if (options.retrieval_weights) output = "retrieval weights";
  if (options.head_weights) output = "head weights";
  if (output == nullptr) return absl::OkStatus();
  return Invalid("OUTPUT_UNAVAILABLE",
                 absl::StrCat("sessions give no ", output,
                              "; leave them out, or encode the document in one "
                              "call"));
}

// Whether resolved options leave nothing open, so that they may be looked at.
bool IsComplete(const EncodeOptions& options) {
  return options.visibility && options.gate && options.features &&
         options.merge && options.top_k && options.anchors &&
         options.anchor_share && options.neighbors && options.state_rank &&
         options.chunk_tokens && options.min_chunk_tokens &&
         options.overlap_tokens && options.anchor_weight &&
         options.document_weight &&
         std::all_of(MechanismFields().begin(), MechanismFields().end(),
                     [&](const MechanismField& field) {
                       return options.mechanism_options.*field.value;
                     });
}

// Opens the field of this public name again.
void Clear(std::string_view field, EncodeOptions* options) {
  if (field == "anchor_share") options->anchor_share.reset();
  if (field == "anchors") options->anchors.reset();
  if (field == "features") options->features.reset();
  if (field == "gate") options->gate.reset();
  if (field == "head_gates") options->head_gates.clear();
  if (field == "merge") options->merge.reset();
  if (field == "min_chunk_tokens") options->min_chunk_tokens.reset();
  if (field == "neighbors") options->neighbors.reset();
  if (field == "overlap_tokens") options->overlap_tokens.reset();
  if (field == "retrieval_layers") options->retrieval_layers.clear();
  if (field == "state_codec") options->state_codec.clear();
  if (field == "state_rank") options->state_rank.reset();
  if (field == "top_k") options->top_k.reset();
  if (field == "visibility") options->visibility.reset();
  if (field == "global_tokens") options->global_tokens.clear();
  for (const MechanismField& known : MechanismFields()) {
    if (field == known.name) (options->mechanism_options.*known.value).reset();
  }
}

class EncoderSessionModel final : public SessionModel {
 public:
  explicit EncoderSessionModel(Encoder* encoder) : encoder_(encoder) {}

  absl::StatusOr<EncodeOptions> ResolveOptions(
      const EncodeOptions& options) const override {
    LH_RETURN_IF_ERROR(CheckOutputs(options));
    EncodeOptions wish = options;
    wish.document_weight = 0;
    LH_ASSIGN_OR_RETURN(EncodeOptions resolved, encoder_->ResolveOptions(wish));
    LH_RETURN_IF_ERROR(CheckStreamable(wish, resolved));
    return resolved;
  }

  absl::StatusOr<std::shared_ptr<const DocumentEncoder>> Open(
      const EncodeOptions& stored) const override {
    EncodeOptions resolved = stored;
    // Numbers that there were none of when the session was made.
    FillMechanismOptions(DefaultMechanismOptions(),
                         &resolved.mechanism_options);
    absl::Status status = CheckResolved(resolved);
    if (status.ok()) {
      auto made = ModelDocumentEncoder::Create(encoder_, resolved);
      if (made.ok()) return made;
      status = made.status();
    }
    const auto detail = GetErrorDetail(status);
    return MakeError(
        absl::StatusCode::kFailedPrecondition,
        detail ? detail->reason : "SESSION_OPTIONS",
        absl::StrCat("this server cannot go on with the session's options: ",
                     status.message()));
  }

 private:
  absl::StatusOr<bool> IsStreamable(const EncodeOptions& resolved) const {
    LH_ASSIGN_OR_RETURN(std::unique_ptr<const Attention> attention,
                        MakeAttention(encoder_->model(), resolved));
    return !attention->needs_whole_document();
  }

  // Whether the encoder takes these options and can stream them.
  bool WouldStream(const EncodeOptions& options) const {
    const absl::StatusOr<EncodeOptions> resolved =
        encoder_->ResolveOptions(options);
    if (!resolved.ok()) return false;
    const absl::StatusOr<bool> streamable = IsStreamable(*resolved);
    return streamable.ok() && *streamable;
  }

  absl::Status CheckStreamable(const EncodeOptions& wish,
                               const EncodeOptions& resolved) const {
    LH_ASSIGN_OR_RETURN(const bool streamable, IsStreamable(resolved));
    if (streamable) return absl::OkStatus();
    std::vector<std::string> others = StreamableVisibilities(wish);
    const char* what = "the visibility ";
    if (others.empty()) {
      others = StreamableMechanisms();
      what = "the mechanism ";
    }
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "NOT_STREAMABLE",
        absl::StrCat("with the mechanism \"", resolved.mechanism,
                     "\" and the visibility \"",
                     ToAbsl(VisibilityName(*resolved.visibility)),
                     "\" every chunk depends on what follows, so a session "
                     "cannot grow; use ",
                     what, absl::StrJoin(others, " or ")));
  }

  std::vector<std::string> StreamableVisibilities(EncodeOptions wish) const {
    std::vector<std::string> names;
    for (const Visibility visibility :
         {Visibility::kCausal, Visibility::kTwoPass}) {
      wish.visibility = visibility;
      if (!WouldStream(wish)) continue;
      names.push_back(
          absl::StrCat("\"", ToAbsl(VisibilityName(visibility)), "\""));
    }
    return names;
  }

  std::vector<std::string> StreamableMechanisms() const {
    std::vector<std::string> names;
    for (const std::string& name : AvailableMechanisms(encoder_->model())) {
      EncodeOptions wish;
      wish.mechanism = name;
      if (WouldStream(wish)) names.push_back(absl::StrCat("\"", name, "\""));
    }
    return names;
  }

  // Whether options that were resolved once, maybe elsewhere, still are what
  // this encoder would make of them.
  absl::Status CheckResolved(const EncodeOptions& resolved) const {
    const Model& model = encoder_->model();
    LH_RETURN_IF_ERROR(CheckOutputs(resolved));
    const int special =
        static_cast<int>(model.prefix_ids().size() + model.suffix_ids().size());
    if (!IsComplete(resolved) || *resolved.chunk_tokens <= special ||
        *resolved.chunk_tokens > model.config().max_positions()) {
      return Invalid("SESSION_OPTIONS",
                     "they are incomplete, or their chunks do not fit the "
                     "model; open a new session");
    }
    LH_RETURN_IF_ERROR(CheckMechanismInput(resolved));
    LH_ASSIGN_OR_RETURN(std::unique_ptr<const Attention> attention,
                        MakeAttention(model, resolved));
    LH_ASSIGN_OR_RETURN(std::unique_ptr<Chunker> chunker,
                        MakeChunker(model, resolved));
    LH_RETURN_IF_ERROR(MakeStateCodec(resolved).status());
    // Fields without a meaning are filled in as well, but may not be asked for.
    EncodeOptions wish = resolved;
    for (std::string_view field : UnusedOptions(*attention)) {
      Clear(field, &wish);
    }
    for (std::string_view field : chunker->unused_options()) {
      Clear(field, &wish);
    }
    LH_ASSIGN_OR_RETURN(const EncodeOptions again,
                        encoder_->ResolveOptions(wish));
    return CheckStreamable(wish, again);
  }

  Encoder* const encoder_;
};

}  // namespace

std::unique_ptr<SessionModel> MakeEncoderSessionModel(Encoder* encoder) {
  return std::make_unique<EncoderSessionModel>(encoder);
}

}  // namespace longhand
