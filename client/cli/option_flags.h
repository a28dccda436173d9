// What the flags that say how to encode fill in. Plain values.
#ifndef LONGHAND_CLIENT_CLI_OPTION_FLAGS_H_
#define LONGHAND_CLIENT_CLI_OPTION_FLAGS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace longhand::client {

// How a document is encoded; what is left out is up to the server. See the
// message EncodeOptions.
struct OptionFlags {
  std::string model, mechanism, visibility, features, merge, state_codec;
  std::string chunker, pooling;
  std::optional<float> gate, anchor_share, anchor_weight, document_weight;
  std::vector<float> head_gates;
  std::vector<uint32_t> retrieval_layers;
  std::optional<uint32_t> top_k, anchors, neighbors, state_rank;
  std::optional<uint32_t> chunk_tokens, min_chunk_tokens, overlap_tokens;
  // The fields of the message MechanismOptions, by their names.
  std::map<std::string, std::optional<uint32_t>> mechanism_options;
  std::vector<uint64_t> global_tokens;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_OPTION_FLAGS_H_
