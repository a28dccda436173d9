#include "bench/gate/made_attention.h"

#include <utility>

#include "core/attention/registry.h"
#include "core/base/status_macros.h"
#include "core/state/state_codec.h"

namespace longhand::gate {
namespace {

constexpr float kGate = 0.4f;

}  // namespace

std::vector<float> Uniform::operator()(size_t size) {
  std::vector<float> values(size);
  for (float& value : values) value = (*this)();
  return values;
}

absl::StatusOr<std::unique_ptr<const Attention>> MakeAttention(
    std::string_view mechanism, AttentionOptions options, int top_k) {
  options.retrieval.gate = kGate;
  options.retrieval.top_k = top_k;
  AttentionFactory* factory = nullptr;
  LH_ASSIGN_OR_RETURN(factory, AttentionRegistry().Find(mechanism));
  return factory(options);
}

std::shared_ptr<ChunkState> MakeState(const Attention& attention, int own_rows,
                                      int layers) {
  return std::make_shared<ChunkState>(
      StateFingerprint{}, attention.state_layout(own_rows),
      *(**StateCodecRegistry().Find("f32"))({}), layers);
}

std::vector<std::shared_ptr<const ChunkState>> MakeStates(
    const Attention& attention, int own_rows, int layers, int count) {
  std::vector<std::shared_ptr<const ChunkState>> states;
  Uniform uniform;
  for (int i = 0; i < count; ++i) {
    std::shared_ptr<ChunkState> state = MakeState(attention, own_rows, layers);
    for (int layer = 0; layer < layers; ++layer) {
      state->SetLayer(layer, uniform(size_t(state->layout().floats())).data());
    }
    states.push_back(std::move(state));
  }
  return states;
}

}  // namespace longhand::gate
