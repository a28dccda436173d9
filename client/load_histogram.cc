#include "client/load_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

namespace longhand::client {
namespace {

// Values below 2^kExactBits microseconds have a bucket each; above, every
// power of two has 2^kSubBits buckets.
constexpr int kSubBits = 7;
constexpr int kExactBits = kSubBits + 1;
constexpr int kMaxBits = 37;
constexpr size_t kBuckets =
    (size_t{1} << kExactBits) + (size_t{kMaxBits - kExactBits} << kSubBits);
constexpr uint64_t kMaxValue = (uint64_t{1} << kMaxBits) - 1;

size_t BucketOf(uint64_t value) {
  if (value < uint64_t{1} << kExactBits) return value;
  const int exponent = std::bit_width(value) - 1;
  const uint64_t sub =
      (value >> (exponent - kSubBits)) - (uint64_t{1} << kSubBits);
  return (size_t{1} << kExactBits) +
         (static_cast<size_t>(exponent - kExactBits) << kSubBits) + sub;
}

uint64_t UpperOf(size_t bucket) {
  if (bucket < size_t{1} << kExactBits) return bucket;
  const size_t above = bucket - (size_t{1} << kExactBits);
  const size_t exponent = kExactBits + (above >> kSubBits);
  const uint64_t sub = above & ((size_t{1} << kSubBits) - 1);
  return (((uint64_t{1} << kSubBits) + sub + 1) << (exponent - kSubBits)) - 1;
}

absl::Duration ToLatency(uint64_t value) {
  return absl::Microseconds(static_cast<int64_t>(value));
}

}  // namespace

LatencyHistogram::LatencyHistogram() : counts_(kBuckets) {}

void LatencyHistogram::Record(absl::Duration latency) {
  latency = std::clamp(latency, absl::ZeroDuration(), ToLatency(kMaxValue));
  ++counts_[BucketOf(
      static_cast<uint64_t>(absl::ToInt64Microseconds(latency)))];
  ++count_;
  sum_ += latency;
  max_ = std::max(max_, latency);
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

absl::Duration LatencyHistogram::Mean() const {
  return count_ == 0 ? absl::ZeroDuration()
                     : sum_ / static_cast<double>(count_);
}

absl::Duration LatencyHistogram::Percentile(double percent) const {
  if (count_ == 0) return absl::ZeroDuration();
  // 99.9 is not exact in binary: do not let that add a rank.
  const double exact = percent / 100 * static_cast<double>(count_);
  const auto rank =
      static_cast<uint64_t>(std::max(std::ceil(exact * (1 - 1e-12)), 1.0));
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen >= rank) return std::min(ToLatency(UpperOf(i)), max_);
  }
  return max_;
}

std::vector<LatencyBucket> LatencyHistogram::Buckets() const {
  std::vector<LatencyBucket> buckets;
  for (size_t i = 0; i < kBuckets; ++i) {
    if (counts_[i] > 0) buckets.push_back({ToLatency(UpperOf(i)), counts_[i]});
  }
  return buckets;
}

}  // namespace longhand::client
