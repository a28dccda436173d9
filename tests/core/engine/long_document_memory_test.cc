// 65,536 tokens through the mechanisms that a BERT model can run, in a process
// that may not grow by more than 224 MiB: one buffer of tokens x tokens would
// take 16 GiB. Loops over the registry. Mechanisms whose time grows with the
// square get 8,192 tokens, whose square takes 256 MiB.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <set>
#include <string>
#include <vector>

#include "core/attention/registry.h"
#include "core/base/error.h"
#include "gtest/gtest.h"
#include "tests/core/engine/encode_harness.h"

namespace longhand {
namespace {

constexpr rlim_t kGrowthBytes = rlim_t{224} << 20;
constexpr int kTokens = 65'536;
constexpr int kQuadraticTokens = 8'192;

// Attention to every key of the document, or to a constant part of them.
const std::set<std::string>& QuadraticMechanisms() {
  static const auto* const names = new std::set<std::string>{
      "bsbr_exact", "fixed", "full", "hopfield", "strided"};
  return *names;
}

// What the limit counts.
rlim_t DataBytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    rlim_t kib = 0;
    if (word == "VmData:" && status >> kib) return kib << 10;
  }
  return 0;
}

enum Outcome { kEncoded = 0, kFailed = 1, kUnknownVisibility = 2 };

Outcome Encode(const std::string& mechanism, Visibility visibility) {
  const rlim_t before = DataBytes();
  const rlimit limit{before + kGrowthBytes, before + kGrowthBytes};
  if (before == 0 || setrlimit(RLIMIT_DATA, &limit) != 0) return kFailed;
  const auto encoder = testing::MakeEncoder(
      testing::TinyModel(),
      {.workers = 2, .max_working_bytes = uint64_t{kGrowthBytes}});
  EncodeOptions options;
  options.mechanism = mechanism;
  // `independent` sees nothing either way.
  if (mechanism != "independent") options.visibility = visibility;
  options.anchor_weight = 0;
  options.document_weight = 0;
  const int tokens =
      QuadraticMechanisms().contains(mechanism) ? kQuadraticTokens : kTokens;
  const auto encoded =
      testing::EncodeIds(*encoder, testing::RandomIds(tokens, 1), options);
  if (testing::ReasonOf(encoded.summary.status()) == "RETRIEVAL_OPTIONS") {
    return kUnknownVisibility;
  }
  if (!encoded.summary.ok()) {
    std::cerr << encoded.summary.status() << std::endl;
    return kFailed;
  }
  return encoded.summary->received_tokens == uint64_t(tokens) ? kEncoded
                                                              : kFailed;
}

class LongDocumentMemory : public ::testing::TestWithParam<std::string> {
 protected:
  // In a process of its own, which an allocation over the limit ends.
  static int EncodeApart(Visibility visibility) {
    const pid_t child = fork();
    if (child == 0) _exit(Encode(GetParam(), visibility));
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
    return WIFEXITED(status) ? WEXITSTATUS(status) : int{kFailed};
  }
};

TEST_P(LongDocumentMemory, StaysSmall) {
  const auto model = testing::TinyModel();
  if (const absl::StatusOr<AttentionFactory*> make =
          AttentionRegistry().Find(GetParam());
      (**make)({.num_heads = model->config().num_heads,
                .head_dim = model->config().head_dim(),
                .num_layers = model->config().num_layers})
          .status()
          .code() == absl::StatusCode::kFailedPrecondition) {
    GTEST_SKIP() << "a BERT model has not got what it needs";
  }
  EXPECT_EQ(EncodeApart(Visibility::kCausal), kEncoded);
  const int whole = EncodeApart(Visibility::kBidirectional);
  EXPECT_TRUE(whole == kEncoded || whole == kUnknownVisibility) << whole;
}

INSTANTIATE_TEST_SUITE_P(Mechanisms, LongDocumentMemory,
                         ::testing::ValuesIn(AttentionRegistry().Names()),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace longhand
