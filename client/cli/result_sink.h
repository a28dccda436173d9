// ResultSink: takes one document's results in the order in which they arrive
// and writes them in one of the output formats. Belongs to one thread.
#ifndef LONGHAND_CLIENT_CLI_RESULT_SINK_H_
#define LONGHAND_CLIENT_CLI_RESULT_SINK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/file_input.h"
#include "client/cli/file_output.h"
#include "client/cli/flags.h"
#include "client/cli/json_output.h"
#include "client/encode_result.h"

namespace longhand::client {

// What stands in the place of the account of an encoded document, for commands
// that do something else.
struct SinkAccount {
  std::string format;  // of json
  Json head;           // keys of json, and of the last line of jsonl
  std::string lines;   // of a table
};

// What a sink knows besides the results. Everything is borrowed.
struct SinkContext {
  const EncodeFlags* flags = nullptr;
  FileOutput* output = nullptr;
  const FileInput* input = nullptr;  // also where token ids came from
  // Of the model, where weights of heads are asked for.
  size_t layers = 0, heads = 0;
  // Where the input's first byte lies in the document.
  uint64_t input_offset = 0;
  // Null: of an encoded document. Read when the sink is finished.
  const SinkAccount* account = nullptr;
};

class ResultSink {
 public:
  virtual ~ResultSink() = default;

  virtual absl::Status OnChunk(Chunk chunk) = 0;
  // A chunk that may yet change. Written by jsonl only.
  virtual absl::Status OnProvisionalChunk(Chunk) { return absl::OkStatus(); }
  virtual absl::Status OnTokens(TokenVectors tokens) = 0;
  virtual absl::Status OnSpan(SpanVector span) = 0;
  virtual absl::Status OnHeadWeights(HeadWeights weights) = 0;
  // The last call. `result` holds the document vector and the summary only.
  virtual absl::Status Finish(const EncodeResult& result,
                              absl::Duration client_time) = 0;
};

// The sink for flags->format.
absl::StatusOr<std::unique_ptr<ResultSink>> MakeResultSink(
    const SinkContext& context);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_RESULT_SINK_H_
