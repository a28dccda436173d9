#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/comparison_text.h"
#include "client/cli/encode_options.h"
#include "client/cli/file_input.h"
#include "client/cli/file_output.h"
#include "client/cli/mechanism_comparison.h"
#include "client/cli/progress_line.h"
#include "client/cli/table.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

constexpr char kPreferredReference[] = "full";

absl::Status CheckFlags(const CompareFlags& flags) {
  if (flags.file.empty()) {
    return UsageError("name a FILE (or - for standard input)");
  }
  for (const std::string& name : flags.mechanisms) {
    if (name.empty()) {
      return UsageError(
          "--mechanisms has an empty name; separate names by commas");
    }
  }
  return absl::OkStatus();
}

// The options of all mechanisms.
v1::EncodeOptions MakeOptions(const CompareFlags& flags) {
  v1::EncodeOptions options = ToOptions(flags.options);
  // What a mechanism does to the vectors, not what is mixed in afterwards.
  if (!flags.options.anchor_weight) options.set_anchor_weight(0);
  if (!flags.options.document_weight) options.set_document_weight(0);
  options.add_outputs(v1::OUTPUT_DOCUMENT_VECTOR);
  options.add_outputs(v1::OUTPUT_CHUNK_VECTORS);
  return options;
}

// Before anything is measured for nothing.
absl::Status CheckReference(const CompareFlags& flags, const v1::Model& model) {
  const auto& known = model.mechanisms();
  if (flags.reference.empty() || known.empty() ||
      std::find(known.begin(), known.end(), flags.reference) != known.end()) {
    return absl::OkStatus();
  }
  return UsageError(absl::StrCat(
      "the model ", model.name(), " has no mechanism ", flags.reference,
      " to be the --reference; it has ", absl::StrJoin(known, ", ")));
}

// What is compared with what: each mechanism once, in the order given.
void ChooseMechanisms(const CompareFlags& flags, const v1::Model& model,
                      ComparisonRequest* request) {
  std::vector<std::string> names = flags.mechanisms;
  if (names.empty()) {
    names.assign(model.mechanisms().begin(), model.mechanisms().end());
  }
  if (!flags.reference.empty()) {
    request->reference = flags.reference;
    if (std::find(names.begin(), names.end(), flags.reference) == names.end()) {
      names.insert(names.begin(), flags.reference);
    }
  }
  for (std::string& name : names) {
    auto& chosen = request->mechanisms;
    if (std::find(chosen.begin(), chosen.end(), name) != chosen.end()) continue;
    if (request->reference.empty() && name == kPreferredReference) {
      request->reference = name;
    }
    chosen.push_back(std::move(name));
  }
  if (request->reference.empty() && !request->mechanisms.empty()) {
    request->reference = request->mechanisms.front();
  }
}

// Measures with a progress line for each encoding.
absl::StatusOr<std::vector<MechanismResult>> Measure(
    const CompareFlags& flags, const CommandContext& context,
    const ComparisonRequest& request, const FileInput& input) {
  std::optional<ProgressLine> progress;
  ComparisonHooks hooks;
  hooks.on_run = [&](const std::string&) {
    progress.emplace(flags.progress.value_or(isatty(STDERR_FILENO) == 1),
                     input.size());
  };
  hooks.on_progress = [&progress](const StreamProgress& now) {
    progress->Update(now);
  };
  return CompareMechanisms(context.client, request, hooks, context.call());
}

}  // namespace

absl::Status RunCompare(const CompareFlags& flags,
                        const CommandContext& context) {
  LH_CLIENT_RETURN_IF_ERROR(CheckFlags(flags));
  LH_CLIENT_ASSIGN_OR_RETURN(const std::unique_ptr<FileInput> input,
                             FileInput::Open(flags.file));
  context.interrupt->SetCallback([&input] { input->Stop(); });
  const absl::Cleanup forget_input = [&] {
    context.interrupt->SetCallback(nullptr);
  };
  LH_CLIENT_ASSIGN_OR_RETURN(const std::unique_ptr<FileOutput> output,
                             FileOutput::Open(flags.out));

  ComparisonRequest request;
  request.options = MakeOptions(flags);
  request.repeat = flags.repeat;
  request.text = input.get();
  request.piece_bytes = flags.piece_bytes;
  ComparisonHead head;
  head.input_name = input->name();
  head.repeat = flags.repeat;
  LH_CLIENT_ASSIGN_OR_RETURN(
      head.model,
      context.client->GetModel(request.options.model(), context.call()));
  LH_CLIENT_RETURN_IF_ERROR(CheckReference(flags, head.model));
  ChooseMechanisms(flags, head.model, &request);
  if (request.mechanisms.empty()) {
    return UsageError("the server lists no mechanisms; name --mechanisms");
  }
  head.reference = request.reference;
  LH_CLIENT_ASSIGN_OR_RETURN(const std::vector<MechanismResult> results,
                             Measure(flags, context, request, *input));
  LH_CLIENT_RETURN_IF_ERROR(output->Write(
      flags.format == "json"
          ? Dump(ComparisonToJson(head, results)) + "\n"
          : FormatComparison(head, results, DescribeTerminal(output->fd()))));
  LH_CLIENT_RETURN_IF_ERROR(output->Commit());
  return SummarizeFailures(results);
}

}  // namespace longhand::client
