// An attention mechanism and the states that it retrieves from, filled with
// numbers that nothing was computed for. Single-threaded; what is returned is
// the caller's.
#ifndef LONGHAND_BENCH_GATE_MADE_ATTENTION_H_
#define LONGHAND_BENCH_GATE_MADE_ATTENTION_H_

#include <cstddef>
#include <memory>
#include <random>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/attention/attention.h"
#include "core/state/chunk_state.h"

namespace longhand::gate {

// Values in [0, 1), the same with every library.
class Uniform {
 public:
  float operator()() { return float(generator_() >> 8) * 0x1p-24f; }
  std::vector<float> operator()(size_t size);

 private:
  std::mt19937 generator_;
};

// `mechanism` with the engine's default gate. top_k: see RetrievalOptions.
absl::StatusOr<std::unique_ptr<const Attention>> MakeAttention(
    std::string_view mechanism, AttentionOptions options, int top_k);

// A state of fingerprint 0 without a codec, for `layers` layers.
std::shared_ptr<ChunkState> MakeState(const Attention& attention, int own_rows,
                                      int layers);

// `count` such states, full.
std::vector<std::shared_ptr<const ChunkState>> MakeStates(
    const Attention& attention, int own_rows, int layers, int count);

}  // namespace longhand::gate

#endif  // LONGHAND_BENCH_GATE_MADE_ATTENTION_H_
