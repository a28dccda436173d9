// A warmed-up worker allocates nothing: whatever a pass needs was there before
// its first item, or is in the workspace. What oneDNN allocates inside a matrix
// product of its own is measured apart and subtracted. Counts every call of
// malloc and its relatives on this thread, in all libraries.

#include <malloc.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/attention/registry.h"
#include "core/compute/compute_context.h"
#include "core/compute/matmul.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"
#include "gtest/gtest.h"

namespace {

thread_local bool counting = false;
thread_local int64_t allocations = 0;

void Count() {
  if (counting) ++allocations;
}

}  // namespace

// glibc's own names for what is replaced here.
extern "C" {

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  Count();
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  Count();
  return __libc_calloc(count, size);
}

void* realloc(void* block, size_t size) {
  Count();
  return __libc_realloc(block, size);
}

void* memalign(size_t alignment, size_t size) {
  Count();
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  Count();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** block, size_t alignment, size_t size) {
  Count();
  *block = __libc_memalign(alignment, size);
  return *block == nullptr ? ENOMEM : 0;
}

}  // extern "C"

namespace longhand {
namespace {

// One tile: each linear layer is applied once.
constexpr int kRows = 64;
constexpr int kChunks = 4;

// Of everything that `work` does.
template <typename Work>
int64_t Allocations(Work&& work) {
  allocations = 0;
  counting = true;
  work();
  counting = false;
  return allocations;
}

// What oneDNN allocates for one product.
int64_t AllocationsOfALinear(const LinearOptions& options,
                             ComputeContext& compute) {
  constexpr int kSize = 384;
  const std::vector<float> weights(kSize * kSize, 0.5f), bias(kSize, 1.0f);
  auto linear = PackedLinear::Pack(weights, bias, kSize, kSize, options);
  EXPECT_TRUE(linear.ok()) << linear.status();
  const std::vector<float> src(kRows * kSize, 1.0f);
  std::vector<float> dst(kRows * kSize);
  const auto apply = [&] {
    compute.workspace().Reset();
    linear->Apply(src.data(), kRows, compute, dst.data());
  };
  apply();
  return Allocations(apply);
}

// And for those of a layer: query, key and value; attention output;
// feed-forward in and out.
int64_t AllocationsOfALayer(ComputeContext& compute) {
  return AllocationsOfALinear({}, compute) +
         2 * AllocationsOfALinear({.accumulate = true}, compute) +
         AllocationsOfALinear({.activation = Activation::kGeluErf}, compute);
}

class AllocationTest : public ::testing::TestWithParam<std::string> {
 protected:
  static const Model& model() { return *shared_model(); }
  static const std::shared_ptr<const Model>& shared_model() {
    static const auto* const model = new std::shared_ptr<const Model>(
        *Model::Load({.directory = LONGHAND_MODEL_DIR}));
    return *model;
  }

  static std::unique_ptr<const Attention> MakeAttention(
      const std::string& mechanism) {
    auto factory = AttentionRegistry().Find(mechanism);
    EXPECT_TRUE(factory.ok()) << factory.status();
    const ModelConfig& config = model().config();
    AttentionOptions options{.num_heads = config.num_heads,
                             .head_dim = config.head_dim(),
                             .num_layers = config.num_layers};
    options.retrieval.gate = 0.4f;
    return *(**factory)(options);
  }

  // A pass of full chunks of a document.
  static std::unique_ptr<ForwardPass> MakePass(const Attention* attention) {
    std::vector<ChunkInput> chunks;
    for (int c = 0; c < kChunks; ++c) {
      ChunkInput chunk;
      for (int r = 0; r < kRows; ++r) chunk.ids.push_back(1000 + c * kRows + r);
      chunk.position_ids = model().PositionIds(chunk.ids);
      chunk.own_begin = 1;
      chunk.own_end = kRows - 1;
      chunk.first_token = c * (kRows - 2);
      chunks.push_back(std::move(chunk));
    }
    return std::make_unique<ForwardPass>(
        shared_model(), attention, std::move(chunks),
        std::vector<std::shared_ptr<const ChunkState>>(),
        ForwardPass::Options{});
  }
};

TEST_P(AllocationTest, AWarmPassAllocatesNothing) {
  ComputeContext compute;
  const int64_t of_a_layer = AllocationsOfALayer(compute);
  const auto attention = MakeAttention(GetParam());
  MakePass(attention.get())->RunAll(compute);
  const auto pass = MakePass(attention.get());
  const int64_t count = Allocations([&] { pass->RunAll(compute); });
  ASSERT_TRUE(pass->done());
  EXPECT_EQ(count, of_a_layer * kChunks * int64_t(model().layers().size()));
}

// The counter counts: the first pass of a worker does allocate.
TEST_P(AllocationTest, TheFirstPassAllocates) {
  ComputeContext compute;
  const auto attention = MakeAttention(GetParam());
  const auto pass = MakePass(attention.get());
  const int64_t first = Allocations([&] { pass->RunAll(compute); });
  const auto again = MakePass(attention.get());
  const int64_t second = Allocations([&] { again->RunAll(compute); });
  EXPECT_GT(first, second);
}

// Those of the registry that a BERT model runs, but for the patterns, which
// make groups of places for each chunk, and `hopfield`.
INSTANTIATE_TEST_SUITE_P(Mechanisms, AllocationTest,
                         ::testing::Values("bsbr", "bsbr_cumulant",
                                           "bsbr_exact", "delta_net",
                                           "independent", "linear",
                                           "performer"),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace longhand
