// Memory that cannot be had while a worker computes: that document ends with an
// error, the others do not notice, and what it had reserved is given back. Each
// allocation of the workers fails once; those of gRPC and of callers are not
// the engine's to handle.

#include <algorithm>
#include <string>

#include "gtest/gtest.h"
#include "tests/core/engine/encode_harness.h"
#include "tests/testing/failing_new.h"

namespace longhand::testing {
namespace {

constexpr int kTokens = 300;

// Of one document; leaves no room for what another one forgot.
uint64_t WorkingBytes(const std::vector<int32_t>& ids) {
  const auto encoder = MakeEncoder(TinyModel(), {.workers = 1});
  return EncodeIds(*encoder, ids).summary->peak_working_bytes;
}

TEST(AllocationFailure, EndsOneDocument) {
  const std::vector<int32_t> ids = RandomIds(kTokens, 1);
  const auto encoder = MakeEncoder(
      TinyModel(),
      {.workers = 1, .max_working_bytes = WorkingBytes(ids) * 3 / 2});
  const Encoded expected = EncodeIds(*encoder, ids);
  ASSERT_TRUE(expected.summary.ok()) << expected.summary.status();
  int64_t failures = 0;
  for (int64_t n = 1;; n += std::max<int64_t>(n / 8, 1)) {
    Encoded encoded;
    bool failed = false;
    {
      const FailNthAllocation failing(n, CountedThreads::kOthers);
      encoded = EncodeIds(*encoder, ids);
      failed = failing.failed();
    }
    if (encoded.summary.ok()) {
      ExpectSame(encoded, expected, 0);
    } else {
      EXPECT_EQ(encoded.summary.status().code(),
                absl::StatusCode::kResourceExhausted)
          << encoded.summary.status();
      EXPECT_EQ(ReasonOf(encoded.summary.status()), "OUT_OF_MEMORY");
    }
    // What comes next finds everything as it was.
    const Encoded next = EncodeIds(*encoder, ids);
    ASSERT_TRUE(next.summary.ok()) << n << ": " << next.summary.status();
    ExpectSame(next, expected, 0);
    ASSERT_EQ(encoder->open_documents(), 0);
    ASSERT_FALSE(HasFailure()) << "allocation " << n;
    if (!failed) break;
    ++failures;
  }
  EXPECT_GT(failures, 10);
}

}  // namespace
}  // namespace longhand::testing
