#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/encode_options.h"
#include "client/cli/file_input.h"
#include "client/cli/file_output.h"
#include "client/cli/json_output.h"
#include "client/cli/progress_line.h"
#include "client/cli/result_sink.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// These are read whole. Past any document, and any list of spans, that a server
// takes.
constexpr uint64_t kMaxTokenFileBytes = uint64_t{1} << 30;
constexpr uint64_t kMaxSpanFileBytes = uint64_t{64} << 20;

std::string What(const EncodeFlags& flags) {
  return flags.what.empty() ? "chunks" : flags.what;
}

bool Asks(const v1::EncodeOptions& options, v1::Output output) {
  return std::find(options.outputs().begin(), options.outputs().end(),
                   output) != options.outputs().end();
}

absl::Status CheckFlags(const EncodeFlags& flags) {
  if (flags.file.empty() && flags.token_ids.empty()) {
    return UsageError("name a FILE (or - for standard input), or --token-ids");
  }
  const bool spans = !flags.spans.empty() || !flags.span.empty();
  if (spans && !flags.token_ids.empty()) {
    return UsageError("--span and --spans are bytes of a text; encode a FILE");
  }
  if (flags.file == "-" && flags.spans == "-") {
    return UsageError("standard input cannot be both FILE and --spans");
  }
  const bool npy = flags.format == "npy";
  if (!npy && (!flags.what.empty() || !flags.row_spans.empty())) {
    return UsageError("--what and --row-spans are for --output npy");
  }
  if (npy && (flags.out.empty() || flags.out == "-")) {
    return UsageError("--output npy needs -o FILE");
  }
  if (npy && flags.out == flags.row_spans) {
    return UsageError("-o and --row-spans name the same file");
  }
  if (flags.what == "spans" && !spans) {
    return UsageError("--what spans needs --span or --spans");
  }
  return absl::OkStatus();
}

absl::Status AddSpans(const EncodeFlags& flags, v1::EncodeOptions* options) {
  if (!flags.spans.empty()) {
    LH_CLIENT_ASSIGN_OR_RETURN(const std::unique_ptr<FileInput> file,
                               FileInput::Open(flags.spans));
    LH_CLIENT_ASSIGN_OR_RETURN(
        const std::string text,
        file->ReadAll(kMaxSpanFileBytes, "give fewer spans"));
    LH_CLIENT_ASSIGN_OR_RETURN(const std::vector<v1::ByteSpan> spans,
                               ParseSpans(text));
    options->mutable_spans()->Add(spans.begin(), spans.end());
  }
  for (const std::string& span : flags.span) {
    *options->add_spans() = ParseSpan(span).value_or(v1::ByteSpan());
  }
  return absl::OkStatus();
}

absl::Status CheckOutputs(const EncodeFlags& flags,
                          const v1::EncodeOptions& options) {
  // The vectors of spans come whatever is asked for.
  if (flags.format != "npy" || What(flags) == "spans" ||
      Asks(options, ToOutput(What(flags)))) {
    return absl::OkStatus();
  }
  return UsageError(absl::StrCat("--what ", What(flags), " needs ", What(flags),
                                 " in --outputs"));
}

absl::StatusOr<v1::EncodeOptions> MakeOptions(const EncodeFlags& flags) {
  v1::EncodeOptions options = ToOptions(flags.options);
  LH_CLIENT_RETURN_IF_ERROR(AddSpans(flags, &options));
  for (const std::string& output : flags.outputs) {
    options.add_outputs(ToOutput(output));
  }
  if (flags.outputs.empty() && flags.format == "npy") {
    options.add_outputs(What(flags) == "spans" ? v1::OUTPUT_DOCUMENT_VECTOR
                                               : ToOutput(What(flags)));
  }
  LH_CLIENT_RETURN_IF_ERROR(CheckOutputs(flags, options));
  return options;
}

// What the sink needs to know of the model.
absl::Status DescribeHeads(const v1::EncodeOptions& options,
                           const CommandContext& context, SinkContext* sink) {
  if (!Asks(options, v1::OUTPUT_HEAD_RETRIEVAL_WEIGHTS)) {
    return absl::OkStatus();
  }
  LH_CLIENT_ASSIGN_OR_RETURN(
      const v1::Model model,
      context.client->GetModel(options.model(), context.call()));
  sink->layers = model.layer_count();
  sink->heads = model.head_count();
  return absl::OkStatus();
}

// Hands everything to the sink as it comes.
StreamCallbacks SinkCallbacks(ResultSink* sink, ProgressLine* progress) {
  StreamCallbacks callbacks;
  callbacks.on_chunk = [sink](Chunk chunk) {
    return sink->OnChunk(std::move(chunk));
  };
  callbacks.on_tokens = [sink](TokenVectors tokens) {
    return sink->OnTokens(std::move(tokens));
  };
  callbacks.on_span = [sink](SpanVector span) {
    return sink->OnSpan(std::move(span));
  };
  callbacks.on_head_weights = [sink](HeadWeights weights) {
    return sink->OnHeadWeights(std::move(weights));
  };
  callbacks.on_progress = [progress](const StreamProgress& now) {
    progress->Update(now);
  };
  return callbacks;
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
  LH_CLIENT_ASSIGN_OR_RETURN(request.options, MakeOptions(flags));
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
  SinkContext sink_context = {&flags, output.get(), input.get()};
  LH_CLIENT_RETURN_IF_ERROR(
      DescribeHeads(request.options, context, &sink_context));
  LH_CLIENT_ASSIGN_OR_RETURN(const std::unique_ptr<ResultSink> sink,
                             MakeResultSink(sink_context));
  ProgressLine progress(flags.progress.value_or(isatty(STDERR_FILENO) == 1),
                        is_text ? input->size() : std::nullopt);
  const StreamCallbacks callbacks = SinkCallbacks(sink.get(), &progress);
  const absl::Time start = absl::Now();
  const absl::StatusOr<EncodeResult> result =
      context.client->EncodeStream(request, callbacks, context.call());
  progress.Clear();
  LH_CLIENT_RETURN_IF_ERROR(result.status());
  LH_CLIENT_RETURN_IF_ERROR(sink->Finish(*result, absl::Now() - start));
  return output->Commit();
}

}  // namespace longhand::client
