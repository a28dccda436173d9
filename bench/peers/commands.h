// CommandHandler: what longhand_peer does for each line that it reads. Owns the
// encoder and, once asked for, weights to measure the peak with. Called from
// one thread.
#ifndef LONGHAND_BENCH_PEERS_COMMANDS_H_
#define LONGHAND_BENCH_PEERS_COMMANDS_H_

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/peers/matmul_peak.h"
#include "core/engine/encoder.h"
#include "nlohmann/json.hpp"

namespace longhand::peers {

// {"rows": [[rows, chunks], ...], "seconds": 0.3}, as `peak` takes it.
struct PeakCommand {
  std::vector<RowCount> chunks;
  double seconds = 0;
};
// INVALID_ARGUMENT (COMMAND_INVALID, CONFIG_INVALID).
absl::StatusOr<PeakCommand> ParsePeakCommand(const nlohmann::json& command);

class CommandHandler {
 public:
  explicit CommandHandler(std::unique_ptr<Encoder> encoder)
      : encoder_(std::move(encoder)) {}

  // One line: a JSON object whose "command" is one of
  //
  //   info
  //     The model, the precision in effect and what one row costs.
  //   tokenize: "text", "documents"
  //     Writes all tokens of the text file as one document.
  //   encode: "documents"; "options", "vectors", "of", "repeats"
  //     Encodes the file's documents all at once, so many times, and gives the
  //     time of one time. Options as ParseEncodeOptions reads them. Writes the
  //     vectors "of" each "document" (the default) or "chunks".
  //   peak: "rows", "seconds"
  //     MatmulPeak on the model's shapes in its precision.
  //   memory
  //     What is resident, and the bytes of the weights.
  //
  // An answer is a JSON object; every error's message says what to do.
  absl::StatusOr<nlohmann::json> Handle(std::string_view line);

 private:
  absl::StatusOr<nlohmann::json> Info() const;
  absl::StatusOr<nlohmann::json> Tokenize(const nlohmann::json& command) const;
  absl::StatusOr<nlohmann::json> Encode(const nlohmann::json& command) const;
  absl::StatusOr<nlohmann::json> Peak(const nlohmann::json& command);
  absl::StatusOr<nlohmann::json> Memory() const;

  const std::unique_ptr<Encoder> encoder_;
  std::optional<MatmulPeak> peak_;
};

}  // namespace longhand::peers

#endif  // LONGHAND_BENCH_PEERS_COMMANDS_H_
