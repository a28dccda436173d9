// ServedModel: what the services need to know of the model, so that they depend
// on values and on the Encoder interface, not on weights. Immutable once made.
#ifndef LONGHAND_SERVER_SERVED_MODEL_H_
#define LONGHAND_SERVER_SERVED_MODEL_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/encode_types.h"
#include "core/engine/encoder.h"
#include "core/model/model.h"
#include "core/model/model_config.h"
#include "core/text/tokenizer.h"

namespace longhand {

struct ServedModel {
  ModelInfo info;
  ModelConfig config;
  // Null if the model was loaded without one. Outlives the server.
  const Tokenizer* tokenizer = nullptr;
  bool normalized = false;
  int special_tokens_per_chunk = 0;
  // What a request with nothing set means.
  EncodeOptions default_options;
  // Registered names; of the mechanisms those that the model can run.
  std::vector<std::string> mechanisms;
  std::vector<std::string> state_codecs;
  std::vector<std::string> chunkers;
  std::vector<std::string> poolings;
};

// Describes the encoder's model. Borrows its tokenizer.
absl::StatusOr<ServedModel> DescribeModel(const Encoder& encoder);

}  // namespace longhand

#endif  // LONGHAND_SERVER_SERVED_MODEL_H_
