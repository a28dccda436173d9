#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/encode_options.h"
#include "client/cli/explain_page.h"
#include "client/cli/explain_svg.h"
#include "client/cli/file_input.h"
#include "client/cli/file_output.h"
#include "client/cli/json_output.h"
#include "client/cli/option_text.h"
#include "client/cli/progress_line.h"
#include "client/cli/retrieval_map.h"
#include "client/cli/table.h"
#include "client/cli/text_display.h"
#include "client/client_error.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// Layers, or heads of a layer; far above any model.
constexpr uint32_t kMaxLayers = 1000;
// Of a row's text, in a page. A chunk may be one long word.
constexpr uint64_t kMaxTextBytes = 4000;

// What is drawn; layer and head: -1 for the mean.
struct Plan {
  bool svg = false;
  int layer = -1, head = -1;
  bool keep_heads = true;
};

absl::StatusOr<Plan> MakePlan(const ExplainFlags& flags) {
  if (flags.file.empty()) {
    return UsageError("name a FILE (or - for standard input)");
  }
  if (flags.out.empty() && isatty(STDOUT_FILENO) == 1) {
    return UsageError("name a file with -o, or -o - for standard output");
  }
  Plan plan;
  plan.svg = flags.format.empty() ? absl::EndsWith(flags.out, ".svg")
                                  : flags.format == "svg";
  plan.layer = ParsePlane(flags.layer).value_or(-1);
  plan.head = ParsePlane(flags.head).value_or(-1);
  const bool mean = plan.layer < 0 && plan.head < 0;
  if (flags.mean_only && !mean) {
    return UsageError("--mean-only leaves nothing for --layer and --head");
  }
  plan.keep_heads = !flags.mean_only && !(plan.svg && mean);
  return plan;
}

absl::Status CheckPlane(const Plan& plan, const v1::Model& model) {
  if (model.layer_count() > kMaxLayers || model.head_count() > kMaxLayers) {
    return MakeClientError(absl::StatusCode::kDataLoss, "BAD_MODEL",
                           "the server describes a model that cannot be");
  }
  const auto check = [](const char* flag, int value, uint32_t count) {
    if (value < static_cast<int64_t>(count)) return absl::OkStatus();
    return UsageError(absl::StrCat(flag, " ", value, ": this model has ", count,
                                   ", counted from 0"));
  };
  LH_CLIENT_RETURN_IF_ERROR(check("--layer", plan.layer, model.layer_count()));
  return check("--head", plan.head, model.head_count());
}

v1::EncodeOptions MakeOptions(const ExplainFlags& flags, const Plan& plan) {
  v1::EncodeOptions options = ToOptions(flags.options);
  // No vectors are shown. Those that wait for the document's end would come
  // after the weights.
  options.set_anchor_weight(0);
  options.set_document_weight(0);
  options.add_outputs(v1::OUTPUT_RETRIEVAL_WEIGHTS);
  if (plan.keep_heads) {
    options.add_outputs(v1::OUTPUT_HEAD_RETRIEVAL_WEIGHTS);
  }
  return options;
}

// Encodes the document and fills the map; returns what was done.
absl::StatusOr<v1::EncodeSummary> FillMap(const ExplainFlags& flags,
                                          const Plan& plan,
                                          const CommandContext& context,
                                          FileInput* input, RetrievalMap* map) {
  StreamRequest request;
  request.options = MakeOptions(flags, plan);
  request.text = input;
  ProgressLine progress(flags.progress.value_or(isatty(STDERR_FILENO) == 1),
                        input->size());
  StreamCallbacks callbacks;
  callbacks.on_chunk = [map](Chunk chunk) { return map->AddChunk(chunk); };
  callbacks.on_head_weights = [map](HeadWeights weights) {
    return map->AddHeadWeights(weights);
  };
  callbacks.on_progress = [&progress](const StreamProgress& now) {
    progress.Update(now);
  };
  const absl::StatusOr<EncodeResult> result =
      context.client->EncodeStream(request, callbacks, context.call());
  progress.Clear();
  LH_CLIENT_RETURN_IF_ERROR(result.status());
  return result->summary;
}

absl::StatusOr<std::vector<PageText>> ReadTexts(const RetrievalMap& map,
                                                const FileInput& input) {
  std::vector<PageText> texts;
  for (const MapGroup& group : map.groups()) {
    const uint64_t size = group.end_byte > group.begin_byte
                              ? group.end_byte - group.begin_byte
                              : 0;
    LH_CLIENT_ASSIGN_OR_RETURN(
        std::string text,
        input.ReadAt(group.begin_byte, std::min(size, kMaxTextBytes)));
    const bool is_whole = size <= kMaxTextBytes;
    if (!is_whole) text = std::string(TrimCutCharacter(text));
    texts.push_back({std::move(text), is_whole});
  }
  return texts;
}

// The layers that the server's mean counts.
std::vector<int> RetrievingLayers(const v1::EncodeOptions& options,
                                  int layers) {
  if (options.retrieval_layers_size() > 0) {
    return {options.retrieval_layers().begin(),
            options.retrieval_layers().end()};
  }
  std::vector<int> all(static_cast<size_t>(layers));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

std::string PlaneName(const char* kind, int index) {
  return index < 0 ? absl::StrCat("mean of all ", kind, "s")
                   : absl::StrCat(kind, " ", index);
}

std::string DescribeRows(const RetrievalMap& map) {
  if (map.chunks_per_row() == 1) {
    return absl::StrCat(FormatCount(map.chunk_count()), " chunks");
  }
  return absl::StrCat(FormatCount(map.chunk_count()), " chunks; each row and ",
                      "column stands for ", map.chunks_per_row(),
                      " neighbouring ones");
}

std::string MakeSvg(const RetrievalMap& map, const Plan& plan,
                    const std::vector<PageText>& texts, const std::string& name,
                    const v1::EncodeSummary& summary) {
  MapPicture picture;
  picture.title =
      ToDisplayLine(absl::StrCat("What each chunk retrieves from: ", name));
  picture.notes = {
      absl::StrCat(DescribeRows(map), "; ", PlaneName("layer", plan.layer),
                   ", ", PlaneName("head", plan.head)),
      DescribeOptions(summary.options())};
  picture.groups = map.groups();
  for (const PageText& text : texts) {
    picture.words.push_back(ToDisplayLine(text.text));
  }
  picture.plane =
      map.Plane(plan.layer, plan.head,
                RetrievingLayers(summary.options(), map.options().layers));
  picture.single_chunks = map.chunks_per_row() == 1;
  return DrawSvg(picture);
}

std::string MakeHtml(const RetrievalMap& map, const Plan& plan,
                     std::vector<PageText> texts, const std::string& name,
                     const v1::EncodeSummary& summary) {
  PageContent content;
  content.name = name;
  content.facts = {
      {"document",
       absl::StrCat(FormatCount(summary.received_bytes()), " bytes, ",
                    FormatCount(summary.received_tokens()), " tokens, ",
                    FormatCount(map.chunk_count()), " chunks")},
      {"options", DescribeOptions(summary.options())},
      {"model", absl::StrCat(summary.options().model(), ", fingerprint ",
                             summary.model_fingerprint().substr(0, 16))}};
  content.texts = std::move(texts);
  content.retrieving_layers =
      RetrievingLayers(summary.options(), map.options().layers);
  content.layer = plan.layer;
  content.head = plan.head;
  return MakePage(map, content);
}

}  // namespace

absl::Status RunExplain(const ExplainFlags& flags,
                        const CommandContext& context) {
  LH_CLIENT_ASSIGN_OR_RETURN(const Plan plan, MakePlan(flags));
  LH_CLIENT_ASSIGN_OR_RETURN(const std::unique_ptr<FileInput> input,
                             FileInput::Open(flags.file));
  context.interrupt->SetCallback([&input] { input->Stop(); });
  const absl::Cleanup forget_input = [&] {
    context.interrupt->SetCallback(nullptr);
  };
  LH_CLIENT_ASSIGN_OR_RETURN(const std::unique_ptr<FileOutput> output,
                             FileOutput::Open(flags.out));
  LH_CLIENT_ASSIGN_OR_RETURN(
      const v1::Model model,
      context.client->GetModel(flags.options.model, context.call()));
  LH_CLIENT_RETURN_IF_ERROR(CheckPlane(plan, model));

  RetrievalMap map({static_cast<int>(model.layer_count()),
                    static_cast<int>(model.head_count()), plan.keep_heads});
  LH_CLIENT_ASSIGN_OR_RETURN(const v1::EncodeSummary summary,
                             FillMap(flags, plan, context, input.get(), &map));
  LH_CLIENT_ASSIGN_OR_RETURN(std::vector<PageText> texts,
                             ReadTexts(map, *input));
  LH_CLIENT_RETURN_IF_ERROR(output->Write(
      plan.svg
          ? MakeSvg(map, plan, texts, input->name(), summary)
          : MakeHtml(map, plan, std::move(texts), input->name(), summary)));
  return output->Commit();
}

}  // namespace longhand::client
