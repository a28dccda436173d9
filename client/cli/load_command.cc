#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/encode_options.h"
#include "client/cli/file_input.h"
#include "client/cli/file_output.h"
#include "client/cli/load_text.h"
#include "client/client_error.h"
#include "client/load_corpus.h"
#include "client/load_plan.h"
#include "client/load_runner.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

constexpr uint64_t kDefaultClients = 8;
constexpr absl::Duration kDefaultWarmUp = absl::Seconds(1);
constexpr uint64_t kMaxCorpusBytes = 64 << 20;
constexpr uint64_t kConnectionShare = 32;  // documents under way on one
constexpr int kMaxConnections = 64;        // that are chosen by it
// Of the calls before the load.
constexpr absl::Duration kPatience = absl::Minutes(1);
// A token takes an id and two places in the answer of Tokenize.
constexpr uint64_t kBytesPerToken = 16;
constexpr uint64_t kTokenizePieceBytes = 256 << 10;

absl::Duration ToDuration(const std::string& text, absl::Duration otherwise) {
  return text == "0" ? absl::ZeroDuration()
                     : ParseDeadline(text).value_or(otherwise);
}

LoadShape MakeShape(const LoadFlags& flags, absl::Duration warm_up) {
  LoadShape shape;
  if (flags.rate) {
    shape.rate = *flags.rate;
  } else {
    shape.clients = flags.clients.value_or(kDefaultClients);
    shape.ramp_up = ToDuration(flags.ramp_up, absl::ZeroDuration());
  }
  shape.arrivals =
      flags.arrivals == "constant" ? Arrivals::kConstant : Arrivals::kPoisson;
  shape.max_outstanding = flags.max_outstanding;
  shape.seed = flags.seed;
  if (flags.requests) {
    shape.requests = *flags.requests;
  } else {
    shape.length = warm_up + ToDuration(flags.duration, absl::ZeroDuration());
  }
  return shape;
}

int ChooseConnections(const LoadFlags& flags, const LoadShape& shape) {
  if (flags.connections > 0) return flags.connections;
  const uint64_t most =
      std::min(shape.clients > 0 ? shape.clients : shape.max_outstanding,
               shape.requests);
  return std::min<int>(
      static_cast<int>((most + kConnectionShare - 1) / kConnectionShare),
      kMaxConnections);
}

LoadOptions MakeOptions(const LoadFlags& flags, const CommandContext& context) {
  LoadOptions options;
  options.connection = *context.connection;
  if (!flags.requests) options.warm_up = kDefaultWarmUp;
  if (!flags.warm_up.empty()) {
    options.warm_up = ToDuration(flags.warm_up, kDefaultWarmUp);
  }
  options.shape = MakeShape(flags, options.warm_up);
  options.connections = ChooseConnections(flags, options.shape);
  options.goal = ToDuration(flags.answer_within, absl::InfiniteDuration());
  options.heed_advice = flags.heed_advice;
  options.method = flags.method == "encode"   ? LoadMethod::kEncode
                   : flags.method == "stream" ? LoadMethod::kStream
                                              : LoadMethod::kAuto;
  options.encode = ToOptions(flags.options);
  options.piece_bytes = flags.piece_bytes;
  options.cancellation = context.interrupt->cancellation();
  return options;
}

absl::StatusOr<LoadCorpus> ReadCorpus(const LoadFlags& flags,
                                      const CommandContext& context,
                                      const v1::Model& model,
                                      std::string* name) {
  const bool are_ids = !flags.token_ids.empty();
  LH_CLIENT_ASSIGN_OR_RETURN(
      const std::unique_ptr<FileInput> input,
      FileInput::Open(are_ids ? flags.token_ids : flags.file));
  context.interrupt->SetCallback([&input] { input->Stop(); });
  const absl::Cleanup forget_input = [&] {
    context.interrupt->SetCallback(nullptr);
  };
  *name = input->name();
  LH_CLIENT_ASSIGN_OR_RETURN(
      std::string text, input->ReadAll(kMaxCorpusBytes,
                                       "give a part of it; documents longer "
                                       "than the file repeat it"));
  if (are_ids) {
    LH_CLIENT_ASSIGN_OR_RETURN(std::vector<uint32_t> ids, ParseTokenIds(text));
    return LoadCorpus::OfIds(std::move(ids));
  }
  const uint64_t piece_bytes =
      std::clamp<uint64_t>(model.limits().max_message_bytes() / kBytesPerToken,
                           1, kTokenizePieceBytes);
  LH_CLIENT_ASSIGN_OR_RETURN(
      TokenizedText source,
      TokenizeWithServer(context.client, std::move(text), piece_bytes,
                         {kPatience, context.interrupt->cancellation()}));
  if (flags.input == "ids") return LoadCorpus::OfIds(std::move(source.ids));
  return LoadCorpus::OfText(std::move(source));
}

// One small document, so that options which the server refuses end the command
// before the load. A server that is too busy for it is loaded all the same.
absl::Status Probe(const CommandContext& context, const LoadOptions& options,
                   const LoadCorpus& corpus) {
  constexpr uint64_t kProbeTokens = 16;
  const DocumentCut cut = corpus.Cut({0, kProbeTokens, 0});
  Document document;
  document.options = options.encode;
  if (corpus.is_text()) {
    document.content = corpus.CopyText(cut, 0, cut.size);
  } else {
    document.content = corpus.CopyIds(cut, 0, cut.size);
  }
  const absl::Status status =
      context.client
          ->Encode(document, {kPatience, context.interrupt->cancellation()})
          .status();
  return absl::IsUnavailable(status) && GetErrorDetail(status)
             ? absl::OkStatus()
             : status;
}

absl::StatusOr<LoadReport> Measure(const LoadFlags& flags, LoadHead* head,
                                   const LoadCorpus& corpus) {
  LoadOptions& options = head->options;
  const Terminal terminal = DescribeTerminal(STDERR_FILENO);
  if (flags.progress.value_or(terminal.is_tty)) {
    // One column less: a full last column wraps on some terminals.
    const int width = terminal.width - 1;
    options.on_progress = [width](const LoadProgress& progress) {
      std::fprintf(stderr, "\r%-*s", width,
                   FormatLoadProgress(progress, width).c_str());
    };
  }
  const absl::Cleanup wipe = [&options, &terminal] {
    if (options.on_progress) {
      std::fprintf(stderr, "\r%*s\r", terminal.width - 1, "");
    }
  };
  return MeasureLoad(options, LoadPlan(head->mix, flags.seed), corpus,
                     head->model);
}

}  // namespace

absl::Status RunLoad(const LoadFlags& flags, const CommandContext& context) {
  if (flags.file.empty() && flags.token_ids.empty()) {
    return UsageError("name a FILE (or - for standard input), or --token-ids");
  }
  LoadHead head;
  auto mix = ParseMix(flags.mix);
  if (!mix.ok()) return UsageError(mix.status().message());
  head.mix = *std::move(mix);
  head.options = MakeOptions(flags, context);
  LH_CLIENT_ASSIGN_OR_RETURN(const std::unique_ptr<FileOutput> output,
                             FileOutput::Open(flags.out));
  LH_CLIENT_ASSIGN_OR_RETURN(
      head.model,
      context.client->GetModel(head.options.encode.model(),
                               {kPatience, context.interrupt->cancellation()}));
  LH_CLIENT_ASSIGN_OR_RETURN(
      const LoadCorpus corpus,
      ReadCorpus(flags, context, head.model, &head.input_name));
  head.input_tokens = corpus.token_count();
  LH_CLIENT_RETURN_IF_ERROR(Probe(context, head.options, corpus));
  LH_CLIENT_ASSIGN_OR_RETURN(const LoadReport report,
                             Measure(flags, &head, corpus));
  LH_CLIENT_RETURN_IF_ERROR(output->Write(
      flags.format == "json"
          ? Dump(LoadToJson(head, report)) + "\n"
          : FormatLoad(head, report, DescribeTerminal(output->fd()))));
  LH_CLIENT_RETURN_IF_ERROR(output->Commit());
  if (report.interrupted) return absl::CancelledError("interrupted");
  return report.CheckAnswered();
}

}  // namespace longhand::client
