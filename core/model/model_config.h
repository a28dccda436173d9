// ModelConfig: the sizes and rules of one encoder, as read from config.json. A
// plain value.
#ifndef LONGHAND_CORE_MODEL_MODEL_CONFIG_H_
#define LONGHAND_CORE_MODEL_MODEL_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/compute/matmul.h"

namespace longhand {

// The longest chunk of a model whose positions have no end; it bounds what one
// chunk can cost.
inline constexpr int kMaxEndlessChunkRows = 8192;

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
  // The normalisations lie before attention and feed-forward, not after them.
  bool pre_norm = false;

  // Rows of the position table.
  int position_rows = 0;
  // Tokens are numbered from here. Above 0 the number counts only tokens that
  // are not padding, and padding keeps `pad_token_id` (RoBERTa).
  int first_position = 0;
  int pad_token_id = 0;
  // Positions are sinusoids, counted over the whole document and without end;
  // there is no table.
  bool document_positions = false;

  // Whether the tokenizer's special tokens go around every chunk.
  bool special_tokens = true;
  // Attention sees shorter chunks filled up to full ones with zero queries,
  // keys and values (ForwardPass::Options::chunk_rows).
  bool pads_chunks = false;
  // What requests get that leave them open; 0 and empty: no wish.
  int default_chunk_rows = 0;
  std::string default_mechanism;
  // The mechanisms that the weights are made for; empty: all that need no
  // parameters of their own (Model::CheckMechanism).
  std::vector<std::string> mechanisms;

  int head_dim() const { return hidden_size / num_heads; }
  // The longest chunk, special tokens included.
  int max_positions() const {
    return document_positions ? kMaxEndlessChunkRows
                              : position_rows - first_position;
  }
};

}  // namespace longhand

#endif  // LONGHAND_CORE_MODEL_MODEL_CONFIG_H_
