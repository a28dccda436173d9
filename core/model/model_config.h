// ModelConfig: the sizes and rules of one encoder, as read from config.json. A
// plain value.
#ifndef LONGHAND_CORE_MODEL_MODEL_CONFIG_H_
#define LONGHAND_CORE_MODEL_MODEL_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/compute/matmul.h"
#include "core/layers/layer_norm.h"

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
  NormKind norm = NormKind::kLayerNorm;
  // The normalisations lie before attention and feed-forward, not after them.
  bool pre_norm = false;
  // Two streams: attention reads the second and adds to the first, the
  // feed-forward part reads the first and adds to the second (Gomez et al.
  // 2017, arXiv:1707.04585); pre_norm. Both together are the output.
  bool reversible = false;
  // Of a head; 0: hidden_size / num_heads.
  int head_size = 0;
  // Width of the attention's output; 0: attention_size().
  int context_size = 0;
  // What follows the projections that the attention is computed from.
  Activation projection_activation = Activation::kNone;
  // Factor of the token vectors.
  float embedding_scale = 1;

  // Where tokens stand in a chunk.
  enum class Positions {
    kTable,  // learned, one row each
    kAxial,  // learned, see Embedding::Axial
    // Sinusoids, counted over the whole document and without end.
    kDocument,
    kNone,
  };
  Positions positions = Positions::kTable;
  // Rows of the position table.
  int position_rows = 0;
  // kAxial: rows and columns, and what each part of a vector has.
  int axial_shape[2] = {0, 0};
  int axial_sizes[2] = {0, 0};
  // Tokens are numbered from here. Above 0 the number counts only tokens that
  // are not padding, and padding keeps `pad_token_id` (RoBERTa).
  int first_position = 0;
  int pad_token_id = 0;
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

  int head_dim() const {
    return head_size > 0 ? head_size : hidden_size / num_heads;
  }
  // Of all heads side by side.
  int attention_size() const { return num_heads * head_dim(); }
  int context_width() const {
    return context_size > 0 ? context_size : attention_size();
  }
  // Floats of a token's last hidden state, and of every vector that is pooled.
  int output_size() const { return (reversible ? 2 : 1) * hidden_size; }
  // The longest chunk, special tokens included.
  int max_positions() const {
    const bool endless =
        positions == Positions::kDocument || positions == Positions::kNone;
    return endless ? kMaxEndlessChunkRows : position_rows - first_position;
  }
};

}  // namespace longhand

#endif  // LONGHAND_CORE_MODEL_MODEL_CONFIG_H_
