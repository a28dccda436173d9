#include <string>

#include "client/cli/flag_groups.h"

namespace longhand::client {
namespace {

constexpr char kCompareFooter[] = R"(
The document is encoded with one mechanism after the other, each time as a whole
and with the same options. An option that a mechanism does not look at is left
out for that mechanism, and the output says so. Chunk vectors are compared as
the mechanisms make them: --anchor-weight and --document-weight are 0 unless
they are given.

The time of full, hopfield, strided, fixed and bsbr_exact grows with the square
of the document: name --mechanisms for a long one.

A mechanism that fails has its reason in the place of its numbers; the others
are measured, and the exit status is that of the first failure.

Output:
  table  a row per mechanism: chunks, tokens, the server's time for the document
         (TOTAL), the time of its workers in the layers (COMPUTE; with several
         workers it can be longer), tokens per second of TOTAL, bytes of chunk
         states at the end (STATES), the most bytes of states and activations at
         one time (PEAK), and the agreement with the reference: the cosine of
         the document vectors (DOCUMENT), mean and lowest cosine of the chunk
         vectors (CHUNK MEAN, MIN), and the share of chunks whose nearest other
         chunk is the same (NEAREST). - : cannot be compared (other chunks, or
         for NEAREST one chunk alone, or more than 10,000). A vector of zeros has the cosine 0.
  json   {"format": "longhand.compare.v1", "input": {"name", "bytes"},
          "model": {"name", "fingerprint"}, "reference", "repeat",
          "mechanisms": [{"mechanism", "unused_options": [..],
                          "options": {..as applied..}, "chunk_count",
                          "received_tokens", "encoded_tokens",
                          "total_seconds", "compute_seconds",
                          "tokens_per_second", "state_bytes",
                          "peak_working_bytes", "document_cosine",
                          "mean_chunk_cosine", "min_chunk_cosine",
                          "same_nearest_share"}
                         or {"mechanism", "unused_options",
                             "error": {"code", "reason", "message"}}]}
         null where nothing can be compared.

Examples:
  longhand compare report.txt
  longhand compare book.txt --mechanisms bsbr,bsbr_exact,independent --repeat 3
  longhand compare - --reference bsbr_exact --top-k 8 --output json < book.txt

)";

void AddMeasuring(CLI::App* command, CompareFlags* flags) {
  command
      ->add_option("--mechanisms", flags->mechanisms,
                   "Names of mechanisms, separated by commas (default: all\n"
                   "that the model can run)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST");
  command
      ->add_option("--reference", flags->reference,
                   "The mechanism that the others are compared with; it is\n"
                   "measured too (default: full, or else the first)")
      ->type_name("NAME");
  command
      ->add_option("--repeat", flags->repeat,
                   "Encode that often and take the medians of the times")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option("--piece-bytes", flags->piece_bytes,
                   "Bytes of content in one message")
      ->check(CLI::Range(1, 64 << 20))
      ->capture_default_str()
      ->type_name("N");
}

}  // namespace

void AddCompare(CLI::App* app, Flags* flags) {
  CLI::App* command = app->add_subcommand(
      "compare",
      "Measure mechanisms on one document: time, memory and how their vectors\n"
      "agree. FILE holds UTF-8 text; - is standard input.");
  CompareFlags* compare = &flags->compare;
  command
      ->add_option("FILE", compare->file,
                   "The document, or - for standard input")
      ->type_name("");
  AddMeasuring(command, compare);
  AddRetrievalSettings(command, &compare->options);
  AddChunkOptions(command, &compare->options);
  AddVectorOptions(command, &compare->options);
  AddReportOutput(command, &compare->format, &compare->out);
  AddProgress(command, &compare->progress, "Output");
  AddConnection(command, &flags->connection);
  command->footer(std::string(kCompareFooter) + kExitCodes);
}

}  // namespace longhand::client
