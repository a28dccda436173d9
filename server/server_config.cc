#include "server/server_config.h"

#include <google/protobuf/stubs/common.h>
#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "server/flag_group.h"
#include "server/listen_address.h"
#include "server/session_flags.h"

namespace longhand {
namespace {

constexpr std::string_view kAbout =
    R"(longhand-server: turns documents of any length into vectors over gRPC.

It loads one model, listens on one address and serves longhand.v1.EncoderService,
longhand.v1.SessionService and longhand.v1.ModelService, the standard health
service, and Prometheus metrics on a port of their own. SIGTERM drains it,
SIGUSR1 makes it log a line per call, SIGUSR2 log as configured again.)";

constexpr std::string_view kFooter =
    R"(A value comes from the command line, else from the --config file, else from
the environment variable under the flag's text, else it is the default in
brackets. Sizes are bytes or carry a suffix: KiB, MiB, GiB (1024), KB, MB, GB
(1000). Times are seconds; fractions are fine.

Exit codes: 0 drained or asked to print something, 1 could not start, 2 wrong
flags or configuration, 3 stopped before the drain was complete.

Examples:
  longhand-server --model models/all-MiniLM-L6-v2
  longhand-server --listen 0.0.0.0:50051 --tls-cert server.pem \
      --tls-key server.key --tls-client-ca clients.pem
  longhand-server --session-store rocksdb --session-dir /var/lib/longhand
  longhand-server --print-config > longhand.toml
  longhand-server --config longhand.toml --workers 4)";

// Values in the units of the command line.
struct Seconds {
  double request = 0;
  double stream = 0;
  double stall = 0;
  double drain_delay = 0;
  double drain_timeout = 0;
  double max_wait = 0;
};

struct Flags {
  ServerConfig config;
  Seconds seconds;
  bool print_config = false;
};

void AddModelFlags(CLI::App* app, ModelOptions* model) {
  FlagGroup group(app, "Model");
  group
      .AddWithDefault("--model", &model->directory,
                      "Directory with config.json, model.safetensors and "
                      "tokenizer.json, as Hugging Face publishes them")
      ->type_name("DIR");
  group
      .Add("--model-name", &model->name,
           "Name that requests may give [last component of --model]")
      ->type_name("NAME");
  group
      .AddWithDefault("--precision", &model->precision,
                      "Precision of the linear layers: fp32, bf16 or int8; "
                      "where the CPU has no instructions for it the "
                      "effective precision differs (GetModel and the log say "
                      "so)")
      ->type_name("NAME");
  group
      .Add("--adapter", &model->adapter_file,
           "Trained changes of the retrieval for this model, a .safetensors "
           "file")
      ->type_name("FILE");
  group.AddBool("--without-tokenizer", &model->without_tokenizer,
                "Serve token ids only; do not read tokenizer.json");
}

void AddComputeFlags(CLI::App* app, EncoderOptions* encoder) {
  FlagGroup group(app, "Compute and its limits");
  group.AddInt("--workers", &encoder->workers, 0, 1024,
               "Threads that compute; 0: as many as the CPU affinity and the "
               "cgroup's quota allow");
  group.AddInt("--max-concurrent-documents", &encoder->max_concurrent_documents,
               4, 1 << 20,
               "Documents in work at one time: a quarter of them short ones, "
               "a quarter long ones, the rest streams; more wait");
  group.AddSize("--max-document-bytes", &encoder->max_document_bytes, 1,
                uint64_t{1} << 40,
                "Text in one document; token ids count four bytes each");
  group.AddSize("--max-working-bytes", &encoder->max_working_bytes, 0,
                uint64_t{1} << 46,
                "Chunk states and activations of all documents together; 0: "
                "half of the memory of the machine or the cgroup");
  group.AddInt("--max-batch-chunks", &encoder->max_batch_chunks, 1, 4096,
               "Chunks of one document that are computed together; fewer "
               "react faster to a cancellation");
}

void AddAdmissionFlags(CLI::App* app, AdmissionConfig* admission,
                       double* max_wait_seconds) {
  FlagGroup group(app, "Admission: what waits while the encoder is busy");
  group.AddInt("--max-queued-requests", &admission->max_queued, 1, 1 << 20,
               "Requests of a class (short, long, streams) that wait for their "
               "turn, all tenants together; more are refused with UNAVAILABLE, "
               "the newest of the tenant that has most of them first");
  group.AddSize("--max-queued-bytes", &admission->max_queued_bytes,
                uint64_t{64} << 10, uint64_t{1} << 40,
                "Content of the requests of a class that wait");
  group.AddSeconds("--max-queue-seconds", max_wait_seconds, 0.001,
                   "Refuse at once what would probably wait for longer");
  group.AddCount("--short-request-tokens", &admission->short_tokens, 1,
                 uint64_t{1} << 40,
                 "Requests of no more tokens have places of their own, which "
                 "long ones do not take");
}

void AddNetworkFlags(CLI::App* app, ServerConfig* config) {
  FlagGroup group(app, "Network");
  group
      .AddWithDefault("--listen", &config->listen,
                      "Address for gRPC; port 0 picks a free one; "
                      "unix:PATH listens on a Unix socket")
      ->type_name("HOST:PORT");
  group
      .Add("--tls-cert", &config->tls.cert_file,
           "Certificate chain of the server, PEM")
      ->type_name("FILE");
  group.Add("--tls-key", &config->tls.key_file, "Its private key, PEM")
      ->type_name("FILE");
  group
      .Add("--tls-client-ca", &config->tls.client_ca_file,
           "Require client certificates issued by this CA, PEM")
      ->type_name("FILE");
  group.AddDuration("--tls-reload-seconds", &config->tls.reload_interval, 0.05,
                    "Look so often whether the three files have changed; what "
                    "cannot serve is not taken");
  group.AddBool("--insecure-allow-remote-plaintext",
                &config->insecure_allow_remote_plaintext,
                "Allow a --listen address that other machines reach, without "
                "TLS; documents and the tokens of --auth-tokens then travel "
                "readable");
  group.AddSize("--max-message-bytes", &config->max_message_bytes,
                uint64_t{64} << 10, uint64_t{1} << 30,
                "One gRPC message, in either direction");
  group.AddInt("--max-concurrent-streams", &config->max_concurrent_streams, 1,
               100000, "Calls in progress on one connection");
  group.AddDuration("--keepalive-seconds", &config->keepalive, 1,
                    "Ping a connection on which nothing comes for so long, "
                    "and close it without an answer within a third of that");
  group.AddSize("--grpc-memory-bytes", &config->grpc_memory_bytes,
                uint64_t{16} << 20, uint64_t{1} << 42,
                "Memory of gRPC's transport buffers, all connections together");
  group.AddSize("--max-unread-bytes", &config->max_unread_bytes,
                uint64_t{64} << 10, uint64_t{1} << 42,
                "Responses that clients of streams have not read yet, all "
                "streams together: above it, a stream that has some gets no "
                "more work; at twice it, the next to have a response is ended");
  group.AddBool("--reflection", &config->reflection,
                "Serve gRPC reflection, which lists the methods to anybody "
                "who can connect");
  group
      .Add("--port-file", &config->port_file,
           "Write the bound gRPC port to this file once the server is ready")
      ->type_name("FILE");
}

void AddTenantFlags(CLI::App* app, AccessConfig* access) {
  constexpr double kMaxTokens = 1e15;
  FlagGroup group(app, "Tenants");
  group
      .Add("--auth-tokens", &access->tokens_file,
           "Serve only callers in this JSON file of tenants and hashes of "
           "their tokens (docs/tenants.md); read again when it changes. "
           "Health checks stay open to all")
      ->type_name("FILE");
  group
      .AddWithDefault("--tenant-tokens-per-second",
                      &access->defaults.tokens_per_second,
                      "Tokens that a tenant may have encoded per second; 0: "
                      "no limit. This and the next two are for tenants whose "
                      "entry in --auth-tokens does not say, and for all "
                      "without that file")
      ->check(Between(0, kMaxTokens))
      ->type_name("NUMBER");
  group
      .AddWithDefault("--tenant-burst-tokens", &access->defaults.burst_tokens,
                      "Tokens that a tenant may use at once after a rest; 0: "
                      "two seconds' worth")
      ->check(Between(0, kMaxTokens))
      ->type_name("NUMBER");
  group.AddInt("--tenant-max-documents", &access->defaults.max_documents, 0,
               1 << 20,
               "Documents of one tenant in work at one time; 0: no limit");
}

void AddTimeFlags(CLI::App* app, Seconds* seconds) {
  FlagGroup group(app, "Time limits");
  group.AddSeconds("--max-request-seconds", &seconds->request, 0.001,
                   "Unary calls; shorter client deadlines are kept");
  group.AddSeconds("--max-stream-seconds", &seconds->stream, 0.001,
                   "Streams, from first to last message");
  group.AddSeconds("--stall-timeout-seconds", &seconds->stall, 0.01,
                   "End a stream whose client neither sends nor reads for so "
                   "long");
  group.AddSeconds("--drain-delay-seconds", &seconds->drain_delay, 0,
                   "After SIGTERM: keep accepting calls for so long while "
                   "health says NOT_SERVING");
  group.AddSeconds("--drain-timeout-seconds", &seconds->drain_timeout, 0,
                   "After that: time for the calls in progress before they "
                   "are cancelled");
}

// One of `names`, which must outlive the parsing. Unlike a transformer, leaves
// the text as it was given, for PrintConfig.
template <typename T>
CLI::Option* AddNamed(const std::string& flag,
                      const std::map<std::string, T>& names, T* value,
                      const std::string& help, FlagGroup* group) {
  return group
      ->AddFunction(
          flag,
          [&names, value](const std::string& name) {
            if (auto it = names.find(name); it != names.end()) {
              *value = it->second;
            }
          },
          help)
      ->check(CLI::IsMember(names).description(""))
      ->type_name("NAME");
}

void AddObservabilityFlags(CLI::App* app, ServerConfig* config) {
  FlagGroup group(app, "Observability");
  group
      .AddWithDefault("--metrics-listen", &config->metrics_listen,
                      "Address for Prometheus metrics at /metrics; empty: off")
      ->type_name("HOST:PORT");
  static const std::map<std::string, LogLevel> kLevels = {
      {"debug", LogLevel::kDebug},
      {"info", LogLevel::kInfo},
      {"warning", LogLevel::kWarning},
      {"error", LogLevel::kError}};
  static const std::map<std::string, LogFormat> kFormats = {
      {"text", LogFormat::kText}, {"json", LogFormat::kJson}};
  AddNamed("--log-level", kLevels, &config->log.level,
           "Least important lines to log: debug (a line per call), info, "
           "warning, error",
           &group)
      ->default_str("info");
  AddNamed("--log-format", kFormats, &config->log.format,
           "Lines as text or as json, on standard error", &group)
      ->default_str("text");
  group.AddDuration("--slow-request-seconds", &config->slow_request, 0,
                    "Warn of a call that takes longer, or, where the client "
                    "sends a stream, of one that waits and computes longer; 0: "
                    "never");
  group.AddBool("--allow-core-dumps", &config->allow_core_dumps,
                "Allow core dumps and debuggers; both see document text");
}

std::string Version() {
  return absl::StrCat(
      "longhand-server ", LONGHAND_VERSION, " (gRPC ", grpc::Version(),
      ", protobuf ",
      google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION), ")");
}

absl::Status Invalid(std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                   message);
}

absl::Status Validate(const ServerConfig& config) {
  LH_RETURN_IF_ERROR(CheckListenAddress(config.listen));
  if (!config.metrics_listen.empty()) {
    LH_RETURN_IF_ERROR(CheckListenAddress(config.metrics_listen));
  }
  if (config.tls.cert_file.empty() != config.tls.key_file.empty()) {
    return Invalid("--tls-cert and --tls-key go together; give both");
  }
  if (!config.tls.client_ca_file.empty() && !config.tls.enabled()) {
    return Invalid("--tls-client-ca needs --tls-cert and --tls-key");
  }
  if (!IsLocalAddress(config.listen) && !config.tls.enabled() &&
      !config.insecure_allow_remote_plaintext) {
    return Invalid(absl::StrCat(
        "refusing to listen on ", config.listen, " without TLS: this is gRPC ",
        grpc::Version(),
        ", and releases before 1.60 let anybody who can connect stop the "
        "process (CVE-2023-1428, CVE-2023-33953, CVE-2023-44487); your "
        "distribution may not have patched them. Listen on 127.0.0.1 behind a "
        "maintained HTTP/2 proxy, or give --tls-cert, --tls-key and "
        "--tls-client-ca. If the network is closed to strangers, "
        "--insecure-allow-remote-plaintext overrides this"));
  }
  if (config.max_unread_bytes < config.max_message_bytes) {
    return Invalid(
        "--max-unread-bytes is below --max-message-bytes: no large response "
        "could be sent; raise it, or lower the other");
  }
  return CheckSessionConfig(config.sessions, config.listen);
}

void ApplySeconds(const Seconds& seconds, ServerConfig* config) {
  config->max_request = absl::Seconds(seconds.request);
  config->max_stream = absl::Seconds(seconds.stream);
  config->stall_timeout = absl::Seconds(seconds.stall);
  config->drain_delay = absl::Seconds(seconds.drain_delay);
  config->drain_timeout = absl::Seconds(seconds.drain_timeout);
  config->admission.max_wait = absl::Seconds(seconds.max_wait);
}

Flags DefaultFlags() {
  Flags flags;
  const ServerConfig& config = flags.config;
  flags.config.model.directory = "models/all-MiniLM-L6-v2";
  flags.seconds = {
      .request = absl::ToDoubleSeconds(config.max_request),
      .stream = absl::ToDoubleSeconds(config.max_stream),
      .stall = absl::ToDoubleSeconds(config.stall_timeout),
      .drain_delay = absl::ToDoubleSeconds(config.drain_delay),
      .drain_timeout = absl::ToDoubleSeconds(config.drain_timeout),
      .max_wait = absl::ToDoubleSeconds(config.admission.max_wait)};
  return flags;
}

// Name and type in one column; the explanation, the default and the variable,
// wrapped, in the other.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kIndent); }

  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string type = option->get_type_name();
    return type.empty() ? "" : absl::StrCat(" ", type);
  }

  std::string make_option_desc(const CLI::Option* option) const override {
    std::string text = option->get_description();
    if (!option->get_default_str().empty()) {
      absl::StrAppend(&text, " [", option->get_default_str(), "]");
    }
    std::string wrapped;
    size_t column = 0;
    for (absl::string_view word : absl::StrSplit(text, ' ')) {
      if (column > 0 && column + 1 + word.size() > kWidth - kIndent) {
        wrapped += '\n';
        column = 0;
      }
      if (column > 0) wrapped += ' ';
      column += (column > 0 ? 1 : 0) + word.size();
      absl::StrAppend(&wrapped, word);
    }
    if (option->get_envname().empty()) return wrapped;
    return absl::StrCat(wrapped, "\n", option->get_envname());
  }

 private:
  static constexpr size_t kIndent = 34;
  static constexpr size_t kWidth = 80;
};

// What is in effect, as a file for --config. Values are as they were given.
std::string PrintConfig(const CLI::App& app) {
  std::string text;
  std::string group;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_configurable()) continue;
    if (option->get_group() != group) {
      group = option->get_group();
      absl::StrAppend(&text, text.empty() ? "" : "\n", "# ", group, "\n");
    }
    const bool given = option->count() > 0;
    std::string value =
        given ? option->results().back() : option->get_default_str();
    if (option->get_expected_min() == 0 && !given) value = "false";
    // A comment where nothing is set.
    absl::StrAppend(&text, given || !value.empty() ? "" : "# ",
                    option->get_lnames().front(), "=\"", value, "\"\n");
  }
  return text;
}

void AddAllFlags(CLI::App* app, Flags* flags) {
  app->option_defaults()->always_capture_default(false);
  app->formatter(std::make_shared<HelpFormatter>());
  app->allow_config_extras(CLI::config_extras_mode::error);
  app->set_help_flag("-h,--help", "Print this and exit")->group("Help");
  app->set_version_flag("--version", Version(), "Print versions and exit")
      ->group("Help");
  app->set_config("--config", "", "Read values from this TOML or INI file")
      ->type_name("FILE")
      ->group("Help");
  app->add_flag("--print-config", flags->print_config,
                "Print what is in effect, as a --config file, and exit")
      ->configurable(false)
      ->group("Help");
  AddModelFlags(app, &flags->config.model);
  AddComputeFlags(app, &flags->config.encoder);
  AddAdmissionFlags(app, &flags->config.admission, &flags->seconds.max_wait);
  AddDefaultFlags(app, &flags->config.encoder.defaults);
  AddSessionFlags(app, &flags->config.sessions);
  AddNetworkFlags(app, &flags->config);
  AddTenantFlags(app, &flags->config.access);
  AddTimeFlags(app, &flags->seconds);
  AddObservabilityFlags(app, &flags->config);
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(int argc,
                                             const char* const* argv) {
  Flags flags = DefaultFlags();
  CLI::App app(std::string(kAbout), "longhand-server");
  app.footer(std::string(kFooter));
  AddAllFlags(&app, &flags);
  CommandLine result;
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    result.exit_text = app.help();
    return result;
  } catch (const CLI::CallForVersion&) {
    result.exit_text = absl::StrCat(Version(), "\n");
    return result;
  } catch (const CLI::Error& error) {
    return Invalid(error.what());
  }
  if (flags.print_config) {
    result.exit_text = PrintConfig(app);
    return result;
  }
  ApplySeconds(flags.seconds, &flags.config);
  LH_RETURN_IF_ERROR(Validate(flags.config));
  result.config = std::move(flags.config);
  return result;
}

}  // namespace longhand
