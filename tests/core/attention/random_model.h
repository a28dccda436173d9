// A model folder with BERT's tensor names and random weights, of any size, and
// the bar between a mechanism and its twin.
#ifndef LONGHAND_TESTS_CORE_ATTENTION_RANDOM_MODEL_H_
#define LONGHAND_TESTS_CORE_ATTENTION_RANDOM_MODEL_H_

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/compute/compute_context.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/core/base/temp_dir.h"
#include "tests/core/weights/safetensors_bytes.h"
#include "tests/testing/golden.h"

namespace longhand::testing {

// The keys that every family with BERT's config has.
inline nlohmann::json SmallConfig(const std::string& family, int positions) {
  return {{"model_type", family},    {"hidden_size", 64},
          {"num_hidden_layers", 1},  {"num_attention_heads", 2},
          {"intermediate_size", 32}, {"vocab_size", 50},
          {"type_vocab_size", 1},    {"max_position_embeddings", positions}};
}

// `linears`: the names of further linear layers of hidden x hidden inside each
// layer.
inline std::shared_ptr<const Model> RandomModel(
    const nlohmann::json& config, const std::vector<std::string>& linears) {
  const int64_t hidden = config["hidden_size"];
  const int64_t inner = config["intermediate_size"];
  SafetensorsBuilder file;
  std::mt19937 random(7);
  const auto add = [&](const std::string& name, std::vector<int64_t> shape,
                       float scale) {
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> values(size_t(NumElements(shape)));
    for (float& value : values) value = normal(random);
    file.AddF32(name, shape, values);
  };
  const auto add_linear = [&](const std::string& name, int64_t outputs,
                              int64_t inputs) {
    add(name + ".weight", {outputs, inputs}, 0.15f);
    add(name + ".bias", {outputs}, 0.1f);
  };
  const auto add_norm = [&](const std::string& name) {
    file.AddF32(name + ".weight", {hidden},
                std::vector<float>(size_t(hidden), 1.0f));
    file.AddF32(name + ".bias", {hidden}, std::vector<float>(size_t(hidden)));
  };
  for (const auto& [name, rows] :
       {std::pair{"word", config["vocab_size"]},
        {"position", config["max_position_embeddings"]},
        {"token_type", config["type_vocab_size"]}}) {
    add(absl::StrCat("embeddings.", name, "_embeddings.weight"), {rows, hidden},
        1);
  }
  add_norm("embeddings.LayerNorm");
  for (int i = 0; i < config["num_hidden_layers"]; ++i) {
    const std::string layer = absl::StrCat("encoder.layer.", i, ".");
    for (const char* name : {"query", "key", "value"}) {
      add_linear(absl::StrCat(layer, "attention.self.", name), hidden, hidden);
    }
    for (const std::string& name : linears) {
      add_linear(layer + name, hidden, hidden);
    }
    add_linear(layer + "attention.output.dense", hidden, hidden);
    add_norm(layer + "attention.output.LayerNorm");
    add_linear(layer + "intermediate.dense", inner, hidden);
    add_linear(layer + "output.dense", hidden, inner);
    add_norm(layer + "output.LayerNorm");
  }
  const TempDir folder;
  folder.Write("config.json", config.dump());
  folder.Write("model.safetensors", file.Build());
  auto model =
      Model::Load({.directory = folder.path(), .without_tokenizer = true});
  LH_CHECK(model.ok());
  return *std::move(model);
}

// The bytes that a worker's workspace has grown to after one chunk of `rows`
// tokens, the first and the last of them special; `hidden` gets the chunk's
// states.
inline uint64_t WorkspaceBytes(const std::shared_ptr<const Model>& model,
                               const Attention& attention, int rows,
                               std::vector<float>* hidden) {
  ChunkInput input;
  std::mt19937 random(8);
  std::uniform_int_distribution<int32_t> id(2, model->config().vocab_size - 1);
  for (int i = 0; i < rows; ++i) input.ids.push_back(id(random));
  input.position_ids = model->PositionIds(input.ids);
  input.own_begin = 1;
  input.own_end = rows - 1;
  ForwardPass pass(model, &attention, {std::move(input)}, {}, {});
  ComputeContext compute;
  pass.RunAll(compute);
  const int64_t size = int64_t{rows} * model->config().hidden_size;
  hidden->assign(pass.hidden(0), pass.hidden(0) + size);
  return compute.workspace().capacity();
}

// Fails the test where a mechanism is not its twin's, but for rounding.
inline void ExpectNear(const std::vector<float>& actual,
                       const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  EXPECT_LE(MaxAbsDifference(actual.data(), expected.data(), actual.size()),
            2e-5);
}

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_ATTENTION_RANDOM_MODEL_H_
