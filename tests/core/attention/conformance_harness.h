// What the conformance suite of the attention mechanisms works with: a tiny
// model that a mechanism can run on, random documents for it, and documents run
// whole, appended and in two passes. Single-threaded.
#ifndef LONGHAND_TESTS_CORE_ATTENTION_CONFORMANCE_HARNESS_H_
#define LONGHAND_TESTS_CORE_ATTENTION_CONFORMANCE_HARNESS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/attention/attention.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"
#include "gtest/gtest.h"

namespace longhand::testing {

using States = std::vector<std::shared_ptr<const ChunkState>>;
using Hidden = std::vector<std::vector<float>>;

// A mechanism on the tiny model that can run it: BERT, or else that of the
// family whose parameters it needs.
class MechanismOnModel {
 public:
  explicit MechanismOnModel(std::string mechanism);

  const std::string& mechanism() const { return mechanism_; }
  const Model& model() const { return *model_; }
  bool is_on_bert() const { return model_->config().family == "bert"; }

  // Null if the mechanism does not know the visibility.
  std::unique_ptr<const Attention> Make(
      const RetrievalOptions& retrieval) const;
  // As a caller gets it who leaves everything open.
  std::unique_ptr<const Attention> MakeDefault() const;
  std::unique_ptr<const Attention> MakeIndependent() const;
  AttentionOptions Options(const RetrievalOptions& retrieval) const;

  // Whether it looks at a retrieval option.
  bool Uses(std::string_view option) const;

  struct Variant {
    std::string name;
    std::unique_ptr<const Attention> attention;
  };
  // The mechanism with every option set that it tells apart, changed by
  // `change`; none for a visibility that it does not know.
  std::vector<Variant> Variants(
      Visibility visibility,
      const std::function<void(RetrievalOptions&)>& change = {}) const;

  // Chunks of these rows; the first and the last row of one with more than two
  // are not its own.
  std::vector<ChunkInput> RandomChunks(const std::vector<int>& lengths,
                                       uint32_t seed) const;

  // Last hidden states by chunk, [rows * output size]. `left`: gets the states
  // that the chunks leave.
  Hidden Forward(const Attention& attention, std::vector<ChunkInput> chunks,
                 const ForwardPass::Options& options = {}, States states = {},
                 States* left = nullptr) const;
  // The document in batches of `step` chunks, one after the other.
  Hidden Append(const Attention& attention,
                const std::vector<ChunkInput>& chunks, size_t step,
                const ForwardPass::Options& options = {}) const;
  Hidden TwoPasses(const Attention& attention,
                   const std::vector<ChunkInput>& chunks, size_t step,
                   States* left = nullptr) const;

  std::shared_ptr<const Model> shared_model() const { return model_; }

 private:
  const std::string mechanism_;
  std::shared_ptr<const Model> model_;
};

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_ATTENTION_CONFORMANCE_HARNESS_H_
