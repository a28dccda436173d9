// ModelConfig: the sizes and rules of one encoder, as read from config.json. A
// plain value.
#ifndef LONGHAND_CORE_MODEL_MODEL_CONFIG_H_
#define LONGHAND_CORE_MODEL_MODEL_CONFIG_H_

#include <cstdint>
#include <string>

#include "core/compute/matmul.h"

namespace longhand {

struct ModelConfig {
  std::string family;  // a name from families.def
  int hidden_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int intermediate_size = 0;
  int vocab_size = 0;
  int segment_types = 0;  // rows of the segment table; 0: no such table
  Activation activation = Activation::kGeluErf;
  float layer_norm_eps = 0;

  // Rows of the position table.
  int position_rows = 0;
  // Tokens are numbered from here. Above 0 the number counts only tokens that
  // are not padding, and padding keeps `pad_token_id` (RoBERTa).
  int first_position = 0;
  int pad_token_id = 0;

  int head_dim() const { return hidden_size / num_heads; }
  // The longest chunk, special tokens included.
  int max_positions() const { return position_rows - first_position; }
};

}  // namespace longhand

#endif  // LONGHAND_CORE_MODEL_MODEL_CONFIG_H_
