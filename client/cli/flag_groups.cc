#include "client/cli/flag_groups.h"

#include <cstdint>
#include <cstdlib>
#include <optional>

#include "client/cli/mechanism_flags.h"

namespace longhand::client {
namespace {

constexpr char kConnectionGroup[] = "Connection";

// Adds options to one group.
class Group {
 public:
  Group(CLI::App* command, const char* name) : command_(command), name_(name) {}

  template <typename T>
  CLI::Option* Add(const char* flag, T* value, const char* type,
                   const char* help) {
    return command_->add_option(flag, *value, help)
        ->type_name(type)
        ->group(name_);
  }

 private:
  CLI::App* const command_;
  const char* const name_;
};

}  // namespace

const char kRetrievalGroup[] =
    "What a chunk retrieves (names and defaults: longhand info)";

const char kExitCodes[] = R"(Exit status:
  0    all went well
  1    the server failed, or the deadline passed
  2    the command line is wrong
  3    the server cannot be reached or is too busy
  4    a file cannot be read or written
  5    the server refused the input (not UTF-8, empty, over a limit, unknown
       option value)
  6    the session is not there any more, is closed, or is not what the command
       takes it for (somebody else changed it)
  130  interrupted (143: terminated)
  141  the reader of the output went away

Environment:
  LONGHAND_SERVER      the server, unless --server is given
  LONGHAND_TOKEN_FILE  the token's file, unless --token-file is given
  NO_COLOR             no bold type in tables
  TMPDIR               where input that is not a regular file is kept while it
                       is needed (an unlinked file that only this process
                       sees))";

std::string DefaultServer() {
  // Not by CLI11: all commands share the flags, and it would let the variable
  // of a command that was not given win over the flag of the one that was.
  const char* server = std::getenv("LONGHAND_SERVER");
  return server != nullptr && *server != '\0' ? server : "127.0.0.1:50051";
}

std::string DefaultTokenFile() {
  const char* file = std::getenv("LONGHAND_TOKEN_FILE");
  return file != nullptr ? file : "";
}

void AddTarget(CLI::App* command, ConnectionFlags* flags) {
  command->add_option("--server", flags->server, "Host and port of the server")
      ->capture_default_str()
      ->type_name("TARGET")
      ->group(kConnectionGroup);
  command->add_flag("--tls", flags->tls, "Use TLS (implied by the next three)")
      ->group(kConnectionGroup);
  command
      ->add_option("--ca", flags->ca, "PEM file with the authorities to trust")
      ->type_name("FILE")
      ->group(kConnectionGroup);
  auto* cert = command->add_option("--cert", flags->cert,
                                   "PEM file with the client's certificate");
  auto* key = command->add_option("--key", flags->key, "PEM file with its key");
  cert->type_name("FILE")->group(kConnectionGroup)->needs(key);
  key->type_name("FILE")->group(kConnectionGroup)->needs(cert);
  command
      ->add_option("--server-name", flags->server_name,
                   "Name in the server's certificate, if not that of --server")
      ->type_name("NAME")
      ->group(kConnectionGroup);
  command
      ->add_option("--token-file", flags->token_file,
                   "File with the token that tells the server who calls;\n"
                   "without TLS it is sent to this machine only")
      ->type_name("FILE")
      ->group(kConnectionGroup);
  command
      ->add_flag("--insecure-token-over-plaintext",
                 flags->insecure_token_over_plaintext,
                 "Send it without TLS to other machines as well, where\n"
                 "everybody on the way can read it")
      ->group(kConnectionGroup);
}

void AddConnection(CLI::App* command, ConnectionFlags* flags) {
  AddTarget(command, flags);
  command
      ->add_option("--deadline", flags->deadline,
                   "Give up after this time: 30s, 5m, 1h30m or a number of\n"
                   "seconds (default: never)")
      ->check(Readable(ParseDeadline, "a time such as 30s"))
      ->type_name("TIME")
      ->group(kConnectionGroup);
  command
      ->add_option("--retries", flags->retries,
                   "How often to try again while the server is unavailable\n"
                   "(default: 3; session append: 20 in a row; load: 0)")
      ->check(CLI::Range(0, 100))
      ->type_name("N")
      ->group(kConnectionGroup);
  command
      ->add_flag("-v,--verbose", flags->verbose,
                 "Say more on stderr: retries, codes, metadata of errors")
      ->group(kConnectionGroup);
}

void AddRetrievalOptions(CLI::App* command, OptionFlags* flags) {
  Group(command, kRetrievalGroup)
      .Add("--mechanism", &flags->mechanism, "NAME",
           "Attention mechanism, such as bsbr or independent");
  AddRetrievalSettings(command, flags);
}

void AddRetrievalSettings(CLI::App* command, OptionFlags* flags) {
  Group group(command, kRetrievalGroup);
  group
      .Add("--visibility", &flags->visibility, "NAME",
           "Chunks that a chunk may retrieve from: causal (earlier\n"
           "ones; results arrive while the document is sent),\n"
           "bidirectional (all others) or two_pass (all others, as\n"
           "each was on its own; twice the work)")
      ->check(CLI::IsMember({"causal", "bidirectional", "two_pass"}));
  group.Add("--gate", &flags->gate, "X",
            "Share of the retrieved part, 0 (chunks alone) to 1");
  group
      .Add("--head-gates", &flags->head_gates, "LIST",
           "A gate for every head of every layer, layer by layer,\n"
           "separated by commas, in place of --gate")
      ->delimiter(',')
      ->allow_extra_args(false);
  group
      .Add("--retrieval-layers", &flags->retrieval_layers, "LIST",
           "Layers that retrieve, from 0, ascending, separated by\n"
           "commas (default: all)")
      ->delimiter(',')
      ->allow_extra_args(false);
  group.Add("--features", &flags->features, "NAME",
            "Feature map of the chunk states: elu, softmax");
  group.Add("--merge", &flags->merge, "NAME",
            "How the retrieved part joins the chunk's own: gate, lse\n"
            "(by attention mass), balanced_lse (the same per token)");
  group.Add("--top-k", &flags->top_k, "N",
            "Retrieve from the N chunks with the best scores, besides\n"
            "anchors and neighbours; 0: from all");
  group.Add("--anchors", &flags->anchors, "N",
            "First chunks of the document that are always kept");
  group.Add("--anchor-share", &flags->anchor_share, "X",
            "Share that the anchors get beforehand, 0 to 1");
  group.Add("--neighbors", &flags->neighbors, "N",
            "Chunks to either side that are always kept");
  group.Add("--state-codec", &flags->state_codec, "NAME",
            "How chunk states are kept: f32, bf16, int8, low_rank");
  group.Add("--state-rank", &flags->state_rank, "N",
            "Directions that low_rank keeps of each state matrix");
  AddMechanismOptions(command, flags);
}

void AddChunkOptions(CLI::App* command, OptionFlags* flags) {
  Group group(command, "How the document is cut into chunks");
  group.Add("--chunker", &flags->chunker, "NAME",
            "How the document is cut, such as fixed");
  group.Add("--chunk-tokens", &flags->chunk_tokens, "N",
            "Tokens per chunk, special tokens included");
  group.Add("--min-chunk-tokens", &flags->min_chunk_tokens, "N",
            "Tokens per chunk at least, for chunkers that look for\n"
            "boundaries; 0: the chunker's choice");
  group.Add("--overlap-tokens", &flags->overlap_tokens, "N",
            "Tokens that neighbouring chunks share as context, for\n"
            "chunkers whose windows overlap; 0: the chunker's choice");
}

void AddVectorOptions(CLI::App* command, OptionFlags* flags) {
  Group group(command, "What the vectors are");
  group.Add("--model", &flags->model, "NAME",
            "The model, if the server names several");
  group.Add("--pooling", &flags->pooling, "NAME", "mean, cls or max");
  group.Add("--anchor-weight", &flags->anchor_weight, "X",
            "How much of the first chunk's vector is added to every\n"
            "chunk's and span's; 0: nothing");
  group.Add("--document-weight", &flags->document_weight, "X",
            "How much of the mean of all chunks' vectors is added to\n"
            "them; below 0 it is taken away. Chunks then come when the\n"
            "document has ended. 0: nothing, chunks come at once");
}

void AddReportOutput(CLI::App* command, std::string* format, std::string* out) {
  constexpr char kGroup[] = "Output";
  command->add_option("--output", *format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str()
      ->type_name("FORMAT")
      ->group(kGroup);
  command
      ->add_option("-o,--out", *out,
                   "Write to FILE, which appears when complete\n"
                   "(default: standard output)")
      ->type_name("FILE")
      ->group(kGroup);
}

void AddProgress(CLI::App* command, std::optional<bool>* progress,
                 const char* group) {
  command
      ->add_flag("--progress,!--no-progress", *progress,
                 "Show the progress line, or do not (default: if stderr\n"
                 "is a terminal)")
      ->group(group);
}

}  // namespace longhand::client
