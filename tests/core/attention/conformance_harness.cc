#include "tests/core/attention/conformance_harness.h"

#include <algorithm>
#include <filesystem>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/attention/registry.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/compute/compute_context.h"
#include "tests/core/attention/retrieval_variants.h"

namespace longhand::testing {
namespace {

namespace fs = std::filesystem;

AttentionOptions OptionsFor(const Model& model,
                            const RetrievalOptions& retrieval) {
  const ModelConfig& config = model.config();
  return {.num_heads = config.num_heads,
          .head_dim = config.head_dim(),
          .num_layers = config.num_layers,
          .retrieval = retrieval,
          .extras = model.layer_extras()};
}

bool CanRun(const Model& model, const std::string& mechanism) {
  return model.CheckMechanism(mechanism).ok() &&
         (**AttentionRegistry().Find(mechanism))(OptionsFor(model, {})).ok();
}

// BERT before the others.
std::vector<fs::path> ModelFolders() {
  std::vector<fs::path> folders;
  const fs::path root = fs::path(LONGHAND_TESTDATA_DIR) / "parity";
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.path().filename() != "bert") folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  folders.insert(folders.begin(), root / "bert");
  return folders;
}

// As a document drops the states that the mechanism does not reach from a chunk
// at `first_token`.
void DropOutOfReach(const Attention& attention,
                    const std::vector<ChunkInput>& chunks, int64_t first_token,
                    States* states) {
  if (attention.reach_tokens() == kWholeDocument) return;
  for (size_t i = 0; i + 1 < states->size(); ++i) {
    const int64_t end = chunks[i + 1].first_token;
    if (end <= first_token - attention.reach_tokens()) (*states)[i].reset();
  }
}

}  // namespace

MechanismOnModel::MechanismOnModel(std::string mechanism)
    : mechanism_(std::move(mechanism)) {
  for (const fs::path& folder : ModelFolders()) {
    auto model =
        Model::Load({.directory = folder.string(), .without_tokenizer = true});
    if (!model.ok() || !CanRun(**model, mechanism_)) continue;
    model_ = *std::move(model);
    return;
  }
  LH_CHECK(!"a model below tests/testdata/parity for every mechanism");
}

AttentionOptions MechanismOnModel::Options(
    const RetrievalOptions& retrieval) const {
  return OptionsFor(*model_, retrieval);
}

std::unique_ptr<const Attention> MechanismOnModel::Make(
    const RetrievalOptions& retrieval) const {
  auto attention = (**AttentionRegistry().Find(mechanism_))(Options(retrieval));
  if (!attention.ok()) {
    const auto detail = GetErrorDetail(attention.status());
    EXPECT_EQ(detail ? detail->reason : "", "RETRIEVAL_OPTIONS")
        << attention.status();
    return nullptr;
  }
  if ((*attention)->retrieval().visibility != retrieval.visibility) {
    return nullptr;
  }
  return *std::move(attention);
}

std::unique_ptr<const Attention> MechanismOnModel::MakeDefault() const {
  RetrievalOptions options;
  options.gate = 0.4f;
  auto attention = (**AttentionRegistry().Find(mechanism_))(Options(options));
  LH_CHECK(attention.ok());
  return *std::move(attention);
}

std::unique_ptr<const Attention> MechanismOnModel::MakeIndependent() const {
  return *(**AttentionRegistry().Find("independent"))(Options({}));
}

bool MechanismOnModel::Uses(std::string_view option) const {
  const auto unused = MakeDefault()->unused_options();
  return std::find(unused.begin(), unused.end(), option) == unused.end();
}

std::vector<MechanismOnModel::Variant> MechanismOnModel::Variants(
    Visibility visibility,
    const std::function<void(RetrievalOptions&)>& change) const {
  std::vector<Variant> variants;
  for (auto variant : RetrievalVariants(visibility)) {
    if (change) change(variant.options);
    if (auto attention = Make(variant.options)) {
      variants.push_back({variant.name, std::move(attention)});
    }
    if (!Uses("gate")) break;
  }
  return variants;
}

std::vector<ChunkInput> MechanismOnModel::RandomChunks(
    const std::vector<int>& lengths, uint32_t seed) const {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int32_t> id(4, model_->config().vocab_size - 1);
  std::vector<ChunkInput> chunks;
  int64_t first_token = 0;
  for (int length : lengths) {
    ChunkInput chunk;
    for (int i = 0; i < length; ++i) chunk.ids.push_back(id(random));
    chunk.position_ids = model_->PositionIds(chunk.ids);
    const bool has_special = length > 2 && model_->config().special_tokens;
    chunk.own_begin = has_special ? 1 : 0;
    chunk.own_end = has_special ? length - 1 : length;
    chunk.first_token = first_token;
    first_token += chunk.own_end - chunk.own_begin;
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

Hidden MechanismOnModel::Forward(const Attention& attention,
                                 std::vector<ChunkInput> chunks,
                                 const ForwardPass::Options& options,
                                 States states, States* left) const {
  ComputeContext compute;
  ForwardPass pass(model_, &attention, std::move(chunks), std::move(states),
                   options);
  pass.RunAll(compute);
  Hidden hidden;
  for (int i = 0; i < pass.num_chunks(); ++i) {
    const size_t size =
        size_t(pass.rows(i)) * size_t(model_->config().output_size());
    hidden.emplace_back(pass.hidden(i), pass.hidden(i) + size);
    if (left != nullptr && pass.state(i)) left->push_back(pass.state(i));
  }
  return hidden;
}

Hidden MechanismOnModel::Append(const Attention& attention,
                                const std::vector<ChunkInput>& chunks,
                                size_t step,
                                const ForwardPass::Options& options) const {
  States states;
  Hidden appended;
  for (size_t begin = 0; begin < chunks.size(); begin += step) {
    const size_t end = std::min(begin + step, chunks.size());
    DropOutOfReach(attention, chunks, chunks[begin].first_token, &states);
    Hidden part =
        Forward(attention, {chunks.begin() + begin, chunks.begin() + end},
                options, states, &states);
    appended.insert(appended.end(), part.begin(), part.end());
  }
  return appended;
}

Hidden MechanismOnModel::TwoPasses(const Attention& attention,
                                   const std::vector<ChunkInput>& chunks,
                                   size_t step, States* left) const {
  States states;
  for (size_t begin = 0; begin < chunks.size(); begin += step) {
    const size_t end = std::min(begin + step, chunks.size());
    Forward(attention, {chunks.begin() + begin, chunks.begin() + end},
            {.kind = PassKind::kMakeStates}, {}, &states);
  }
  Hidden all;
  for (size_t begin = 0; begin < chunks.size(); begin += step) {
    const size_t end = std::min(begin + step, chunks.size());
    Hidden part =
        Forward(attention, {chunks.begin() + begin, chunks.begin() + end},
                {.kind = PassKind::kRetrieve, .first = int64_t(begin)}, states);
    all.insert(all.end(), part.begin(), part.end());
  }
  if (left != nullptr) *left = states;
  return all;
}

}  // namespace longhand::testing
