#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/file_input.h"
#include "client/cli/file_output.h"
#include "client/cli/follow_source.h"
#include "client/cli/progress_line.h"
#include "client/cli/result_sink.h"
#include "client/cli/session_commands.h"
#include "client/cli/session_text.h"
#include "client/cli/text_display.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

constexpr uint64_t kMaxTokenFileBytes = uint64_t{1} << 30;
constexpr absl::Duration kFollowInterval = absl::Milliseconds(250);

absl::Status CheckFlags(const SessionAppendFlags& flags) {
  if (flags.file.empty() && flags.token_ids.empty()) {
    return UsageError("name a FILE (or - for standard input), or --token-ids");
  }
  if (flags.follow && (flags.file.empty() || flags.file == "-")) {
    return UsageError("--follow wants a FILE; a pipe is waited for anyhow");
  }
  const bool npy = flags.format == "npy";
  if (!npy && !flags.row_spans.empty()) {
    return UsageError("--row-spans is for --output npy");
  }
  if (npy && (flags.out.empty() || flags.out == "-")) {
    return UsageError("--output npy needs -o FILE");
  }
  if (npy && flags.provisional) {
    return UsageError("--provisional is for --output table, json and jsonl");
  }
  return absl::OkStatus();
}

EncodeFlags ToSinkFlags(const SessionAppendFlags& flags) {
  EncodeFlags sink;
  sink.file = flags.file;
  sink.token_ids = flags.token_ids;
  sink.format = flags.format;
  sink.row_spans = flags.row_spans;
  sink.rows = flags.rows;
  return sink;
}

// nullopt: behind what the session has.
std::optional<uint64_t> SourceOffset(const SessionAppendFlags& flags) {
  const bool is_stdin = flags.file == "-" || flags.token_ids == "-";
  uint64_t offset = 0;
  if (flags.file_offset.empty() && !is_stdin) return offset;
  if (absl::SimpleAtoi(flags.file_offset, &offset)) return offset;
  return std::nullopt;
}

// One run of the command.
class AppendRun {
 public:
  AppendRun(const SessionAppendFlags& flags, const CommandContext& context)
      : flags_(flags),
        context_(context),
        is_text_(flags.token_ids.empty()),
        sink_flags_(ToSinkFlags(flags)) {}

  absl::Status Run();

 private:
  absl::Status OpenInput();
  absl::Status OpenOutput();
  AppendOptions Options() const;
  AppendCallbacks Callbacks();
  absl::Status OnStart(const v1::Session& session, uint64_t skipped_bytes);
  absl::Status OnChunk(Chunk chunk);
  absl::Status OnProvisional(Chunk chunk);
  void OnProgress(const AppendProgress& progress);
  absl::Status Finish(const AppendSummary& summary);
  void FillAccount(const AppendSummary& summary);
  // What is in the session, and how to go on.
  void Explain(const AppendProgress& progress) const;

  const SessionAppendFlags& flags_;
  const CommandContext& context_;
  const bool is_text_;
  const EncodeFlags sink_flags_;
  std::unique_ptr<FileInput> input_;
  std::unique_ptr<FollowSource> follow_;
  std::string id_bytes_;  // of --token-ids
  std::unique_ptr<StringSource> ids_;
  ContentSource* source_ = nullptr;
  std::unique_ptr<FileOutput> output_;
  SinkContext sink_context_;
  SinkAccount account_;
  std::unique_ptr<ResultSink> sink_;  // null: --quiet
  std::optional<ProgressLine> progress_line_;
  std::optional<uint64_t> begin_;   // of the input in the document
  std::vector<Chunk> provisional_;  // of the last append
  bool provisional_over_ = true;
  const absl::Time start_ = absl::Now();
};

absl::Status AppendRun::OpenInput() {
  LH_CLIENT_ASSIGN_OR_RETURN(
      input_, FileInput::Open(is_text_ ? flags_.file : flags_.token_ids));
  source_ = input_.get();
  if (flags_.follow) {
    follow_ = std::make_unique<FollowSource>(input_.get(), kFollowInterval);
    source_ = follow_.get();
  }
  if (is_text_) return absl::OkStatus();
  LH_CLIENT_ASSIGN_OR_RETURN(
      const std::string text,
      input_->ReadAll(kMaxTokenFileBytes, "split the document"));
  LH_CLIENT_ASSIGN_OR_RETURN(const std::vector<uint32_t> ids,
                             ParseTokenIds(text));
  for (const uint32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      id_bytes_ += static_cast<char>(id >> shift & 0xFF);
    }
  }
  ids_ = std::make_unique<StringSource>(id_bytes_);
  source_ = ids_.get();
  return absl::OkStatus();
}

absl::Status AppendRun::OpenOutput() {
  if (flags_.quiet) return absl::OkStatus();
  LH_CLIENT_ASSIGN_OR_RETURN(output_, FileOutput::Open(flags_.out));
  account_.format = "longhand.session_append.v1";
  sink_context_.flags = &sink_flags_;
  sink_context_.output = output_.get();
  sink_context_.input = input_.get();
  sink_context_.account = &account_;
  return absl::OkStatus();
}

AppendOptions AppendRun::Options() const {
  AppendOptions options;
  options.session_id = flags_.id;
  options.source_offset = SourceOffset(flags_);
  options.token_ids = !is_text_;
  options.close = flags_.close;
  options.min_durability = ToDurability(flags_.durability);
  options.provisional = flags_.provisional;
  options.piece_bytes = flags_.piece_bytes;
  return options;
}

AppendCallbacks AppendRun::Callbacks() {
  AppendCallbacks callbacks;
  callbacks.on_start = [this](const v1::Session& session, uint64_t skipped) {
    return OnStart(session, skipped);
  };
  callbacks.on_chunk = [this](Chunk chunk) {
    return OnChunk(std::move(chunk));
  };
  callbacks.on_provisional_chunk = [this](Chunk chunk) {
    return OnProvisional(std::move(chunk));
  };
  callbacks.on_progress = [this](const AppendProgress& progress) {
    OnProgress(progress);
  };
  return callbacks;
}

absl::Status AppendRun::OnStart(const v1::Session& session,
                                uint64_t skipped_bytes) {
  begin_ = session.committed_offset() - skipped_bytes / (is_text_ ? 1 : 4);
  if (skipped_bytes > 0 && !flags_.quiet) {
    std::fprintf(
        stderr, "longhand: the session has the first %s %s of %s already\n",
        FormatCount(session.committed_offset() - *begin_).c_str(),
        is_text_ ? "bytes" : "tokens", ToDisplayLine(input_->name()).c_str());
  }
  if (flags_.quiet) return absl::OkStatus();
  sink_context_.input_offset = *begin_;
  LH_CLIENT_ASSIGN_OR_RETURN(sink_, MakeResultSink(sink_context_));
  return absl::OkStatus();
}

absl::Status AppendRun::OnChunk(Chunk chunk) {
  if (sink_ == nullptr) return absl::OkStatus();
  if (flags_.format == "npy" && chunk.vector.empty()) {
    return UsageError(
        "chunks of a session in two passes have no vectors until the document "
        "is looked at as a whole: use --provisional --output json");
  }
  return sink_->OnChunk(std::move(chunk));
}

absl::Status AppendRun::OnProvisional(Chunk chunk) {
  if (sink_ == nullptr) return absl::OkStatus();
  if (flags_.format == "jsonl") {
    return sink_->OnProvisionalChunk(std::move(chunk));
  }
  if (std::exchange(provisional_over_, false)) provisional_.clear();
  provisional_.push_back(std::move(chunk));
  return absl::OkStatus();
}

void AppendRun::OnProgress(const AppendProgress& progress) {
  provisional_over_ = true;
  StreamProgress shown;
  shown.sent_bytes = progress.source_bytes;
  shown.server.set_received_bytes(progress.source_bytes);
  shown.server.set_received_tokens(progress.computed_tokens +
                                   progress.reused_tokens);
  shown.server.set_encoded_tokens(progress.computed_tokens);
  progress_line_->Update(shown);
}

void AppendRun::FillAccount(const AppendSummary& summary) {
  const AppendProgress& done = summary.progress;
  const absl::Duration time = absl::Now() - start_;
  account_.head = {
      {"session", ToJson(summary.session)},
      {"appended",
       {{"bytes", done.source_bytes - summary.skipped_bytes},
        {"skipped_bytes", summary.skipped_bytes},
        {"appends", done.appends},
        {"computed_tokens", done.computed_tokens},
        {"reused_tokens", done.reused_tokens},
        {"lost_chunks", summary.lost_chunks},
        {"client_seconds", static_cast<float>(absl::ToDoubleSeconds(time))}}}};
  if (!provisional_.empty()) {
    Json chunks = Json::array();
    for (const Chunk& chunk : provisional_) {
      chunks.push_back(ToJson(chunk, /*span_only=*/false));
      absl::StrAppend(&account_.lines, "tail        chunk ", chunk.index, ", ",
                      chunk.end_token - chunk.begin_token,
                      " tokens, if the document ended here\n");
    }
    account_.head["provisional_chunks"] = std::move(chunks);
  }
  absl::StrAppend(
      &account_.lines, "appended    ",
      FormatBytes(done.source_bytes - summary.skipped_bytes), " in ",
      FormatCount(done.appends), " appends; ",
      FormatCount(done.computed_tokens), " tokens computed, ",
      FormatCount(done.reused_tokens), " reused; ", FormatTime(time), "\n",
      DescribeSession(summary.session, DescribeTerminal(output_->fd())));
}

absl::Status AppendRun::Finish(const AppendSummary& summary) {
  if (summary.lost_chunks > 0) {
    std::fprintf(stderr,
                 "longhand: the results of %s chunks were lost with a "
                 "connection; the session's content is complete\n",
                 FormatCount(summary.lost_chunks).c_str());
    if (flags_.format == "npy" && !flags_.quiet) {
      return MakeClientError(
          absl::StatusCode::kDataLoss, "INCOMPLETE_RESULT",
          "rows are missing, so no npy file was written; encode the document "
          "to get all vectors, or fork, rewind and append again");
    }
  }
  if (sink_ == nullptr) return absl::OkStatus();
  FillAccount(summary);
  EncodeResult result;
  result.summary.set_chunk_count(
      static_cast<uint32_t>(summary.session.chunk_count()));
  LH_CLIENT_RETURN_IF_ERROR(sink_->Finish(result, absl::Now() - start_));
  return output_->Commit();
}

void AppendRun::Explain(const AppendProgress& progress) const {
  if (!begin_) return;
  const uint64_t taken = progress.committed_offset - *begin_;
  std::fprintf(
      stderr,
      "longhand: the session has everything up to offset %llu (%s %s of %s).\n"
      "To go on%s:\n  %s --file-offset %llu\n",
      static_cast<unsigned long long>(progress.committed_offset),
      FormatCount(taken).c_str(), is_text_ ? "bytes" : "tokens",
      ToDisplayLine(input_->name()).c_str(),
      flags_.file == "-" || flags_.token_ids == "-"
          ? ", with the same input from its start"
          : "",
      ToDisplayLine(context_.command_line).c_str(),
      static_cast<unsigned long long>(*begin_));
}

absl::Status AppendRun::Run() {
  LH_CLIENT_RETURN_IF_ERROR(OpenInput());
  context_.interrupt->SetCallback([this] {
    if (follow_ == nullptr) return input_->Stop();
    follow_->Stop();
    std::fputs("longhand: ending; interrupt again to stop at once\n", stderr);
  });
  const absl::Cleanup forget_input = [this] {
    context_.interrupt->SetCallback(nullptr);
  };
  LH_CLIENT_RETURN_IF_ERROR(OpenOutput());
  progress_line_.emplace(
      !flags_.quiet && flags_.progress.value_or(isatty(STDERR_FILENO) == 1),
      is_text_ && !flags_.follow ? input_->size() : std::nullopt);
  const auto appender = context_.sessions->NewAppender(Options());
  // The first interruption ends a following in order.
  const CallOptions call = flags_.follow ? CallOptions() : context_.call();
  const absl::StatusOr<AppendSummary> summary =
      appender->Run(source_, Callbacks(), call);
  progress_line_->Clear();
  if (summary.ok()) return Finish(*summary);
  const absl::Status& status = summary.status();
  if (absl::IsUnavailable(status) || absl::IsCancelled(status) ||
      absl::IsAborted(status) || absl::IsDeadlineExceeded(status)) {
    Explain(appender->progress());
  }
  return status;
}

}  // namespace

absl::Status RunSessionAppend(const SessionAppendFlags& flags,
                              const CommandContext& context) {
  LH_CLIENT_RETURN_IF_ERROR(CheckFlags(flags));
  return AppendRun(flags, context).Run();
}

}  // namespace longhand::client
