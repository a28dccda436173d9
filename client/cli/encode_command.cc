#include <unistd.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/file_input.h"
#include "client/cli/file_output.h"
#include "client/cli/json_output.h"
#include "client/cli/progress_line.h"
#include "client/cli/result_sink.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// Token files are read whole; this is past any document that a server takes.
constexpr uint64_t kMaxTokenFileBytes = uint64_t{1} << 30;

bool Asks(const EncodeFlags& flags, const std::string& output) {
  for (const std::string& name : flags.outputs) {
    if (name == output) return true;
  }
  return false;
}

absl::Status CheckFlags(const EncodeFlags& flags) {
  if (flags.file.empty() && flags.token_ids.empty()) {
    return UsageError("name a FILE (or - for standard input), or --token-ids");
  }
  const bool npy = flags.format == "npy";
  if (!npy && (!flags.what.empty() || !flags.spans.empty())) {
    return UsageError("--what and --spans are for --output npy");
  }
  if (npy && (flags.out.empty() || flags.out == "-")) {
    return UsageError("--output npy needs -o FILE");
  }
  if (npy && flags.out == flags.spans) {
    return UsageError("-o and --spans name the same file");
  }
  const std::string what = flags.what.empty() ? "chunks" : flags.what;
  if (npy && !flags.outputs.empty() && !Asks(flags, what)) {
    return UsageError(
        absl::StrCat("--what ", what, " needs ", what, " in --outputs"));
  }
  return absl::OkStatus();
}

v1::EncodeOptions ToOptions(const EncodeFlags& flags) {
  v1::EncodeOptions options;
  options.set_model(flags.model);
  options.set_mechanism(flags.mechanism);
  options.set_visibility(ToVisibility(flags.visibility));
  if (flags.gate) options.set_gate(*flags.gate);
  options.set_chunker(flags.chunker);
  if (flags.chunk_tokens) options.set_chunk_tokens(*flags.chunk_tokens);
  options.set_pooling(flags.pooling);
  for (const std::string& output : flags.outputs) {
    options.add_outputs(ToOutput(output));
  }
  if (flags.outputs.empty() && flags.format == "npy") {
    options.add_outputs(ToOutput(flags.what.empty() ? "chunks" : flags.what));
  }
  return options;
}

}  // namespace

absl::Status RunEncode(const EncodeFlags& flags,
                       const CommandContext& context) {
  LH_CLIENT_RETURN_IF_ERROR(CheckFlags(flags));
  const bool is_text = flags.token_ids.empty();
  LH_CLIENT_ASSIGN_OR_RETURN(
      const std::unique_ptr<FileInput> input,
      FileInput::Open(is_text ? flags.file : flags.token_ids));
  context.interrupt->SetCallback([&input] { input->Stop(); });
  const absl::Cleanup forget_input = [&] {
    context.interrupt->SetCallback(nullptr);
  };

  StreamRequest request;
  request.options = ToOptions(flags);
  request.piece_bytes = flags.piece_bytes;
  std::vector<uint32_t> ids;
  if (is_text) {
    request.text = input.get();
  } else {
    LH_CLIENT_ASSIGN_OR_RETURN(
        const std::string text,
        input->ReadAll(kMaxTokenFileBytes, "split the document"));
    LH_CLIENT_ASSIGN_OR_RETURN(ids, ParseTokenIds(text));
    request.token_ids = ids;
  }

  LH_CLIENT_ASSIGN_OR_RETURN(const std::unique_ptr<FileOutput> output,
                             FileOutput::Open(flags.out));
  LH_CLIENT_ASSIGN_OR_RETURN(
      const std::unique_ptr<ResultSink> sink,
      MakeResultSink({&flags, output.get(), input.get()}));
  ProgressLine progress(flags.progress.value_or(isatty(STDERR_FILENO) == 1),
                        is_text ? input->size() : std::nullopt);
  StreamCallbacks callbacks;
  callbacks.on_chunk = [&](Chunk chunk) {
    return sink->OnChunk(std::move(chunk));
  };
  callbacks.on_tokens = [&](TokenVectors tokens) {
    return sink->OnTokens(std::move(tokens));
  };
  callbacks.on_progress = [&](const StreamProgress& now) {
    progress.Update(now);
  };
  const absl::Time start = absl::Now();
  const absl::StatusOr<EncodeResult> result =
      context.client->EncodeStream(request, callbacks, context.call());
  progress.Clear();
  LH_CLIENT_RETURN_IF_ERROR(result.status());
  LH_CLIENT_RETURN_IF_ERROR(sink->Finish(*result, absl::Now() - start));
  return output->Commit();
}

}  // namespace longhand::client
