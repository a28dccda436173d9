// LayerHarness: one layer of attention over random chunks, run as a forward
// pass runs it, and the slow twins of the mechanisms, straight from their
// formulas in double precision. Single-threaded; owns everything.
#ifndef LONGHAND_TESTS_CORE_ATTENTION_LAYER_HARNESS_H_
#define LONGHAND_TESTS_CORE_ATTENTION_LAYER_HARNESS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/attention/attention.h"

namespace longhand::testing {

struct HarnessChunk {
  int rows = 0;
  int own_begin = 0, own_end = 0;
  std::vector<float> x;    // [rows, hidden]
  std::vector<float> qkv;  // [rows, 3 * hidden]
};

class LayerHarness {
 public:
  LayerHarness(int heads, int head_dim, float scale, uint32_t seed);

  int heads() const { return heads_; }
  int head_dim() const { return head_dim_; }
  int hidden() const { return heads_ * head_dim_; }
  const std::vector<HarnessChunk>& chunks() const { return chunks_; }

  // Random chunks whose first and last row are not their own.
  void AddChunks(const std::vector<int>& rows);
  void MakeKeysZero();
  HarnessChunk& mutable_chunk(int index) { return chunks_[size_t(index)]; }

  // What layer 0 of the mechanism makes of all chunks as one batch; contexts
  // [chunks][rows * hidden]. head_weights: [chunks][heads * chunks] of the
  // retrieval weights, unless null.
  std::vector<std::vector<float>> Run(
      const Attention& attention, const std::string& codec = "f32",
      std::vector<std::vector<float>>* head_weights = nullptr);

  // The twins: contexts of layer 0.
  std::vector<std::vector<double>> Bsbr(const AttentionOptions& options) const;
  std::vector<std::vector<double>> Cumulant(
      const AttentionOptions& options) const;
  std::vector<std::vector<double>> Exact(const AttentionOptions& options) const;
  // One softmax over a chunk's rows and all other chunks' own rows.
  std::vector<std::vector<double>> Dense() const;

 private:
  const int heads_, head_dim_;
  const float scale_;
  uint32_t seed_;
  std::vector<HarnessChunk> chunks_;
};

double MaxDifference(const std::vector<std::vector<float>>& a,
                     const std::vector<std::vector<double>>& b);

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_ATTENTION_LAYER_HARNESS_H_
