#include "bench/quality/metrics.h"

#include <algorithm>
#include <limits>

#include "bench/quality/random.h"

namespace longhand::quality {
namespace {

constexpr float kTie = 1e-6f;

uint64_t Overlap(const ByteRange& a, const ByteRange& b) {
  const uint64_t begin = std::max(a.begin, b.begin);
  const uint64_t end = std::min(a.end, b.end);
  return end > begin ? end - begin : 0;
}

// The value below which `share` of the sorted values lie.
double Percentile(const std::vector<double>& sorted, double share) {
  const auto index = static_cast<size_t>(share * (sorted.size() - 1) + 0.5);
  return sorted[index];
}

// Sums and sizes of each group.
struct Groups {
  std::vector<double> sums;
  std::vector<int> sizes;
};

Groups SumGroups(absl::Span<const double> differences,
                 absl::Span<const int> groups) {
  Groups out;
  for (size_t i = 0; i < differences.size(); ++i) {
    const size_t group = groups[i];
    if (out.sums.size() <= group) {
      out.sums.resize(group + 1);
      out.sizes.resize(group + 1);
    }
    out.sums[group] += differences[i];
    ++out.sizes[group];
  }
  // Numbers that no difference has are not groups.
  Groups used;
  for (size_t i = 0; i < out.sums.size(); ++i) {
    if (out.sizes[i] == 0) continue;
    used.sums.push_back(out.sums[i]);
    used.sizes.push_back(out.sizes[i]);
  }
  return used;
}

}  // namespace

CorrectChunks FindCorrectChunks(const ByteRange& gold,
                                absl::Span<const ByteRange> chunks) {
  CorrectChunks correct;
  uint64_t most = 0;
  for (const ByteRange& chunk : chunks) {
    most = std::max(most, Overlap(gold, chunk));
  }
  if (most == 0) return correct;
  correct.majority = 2 * most > gold.size();
  for (size_t i = 0; i < chunks.size(); ++i) {
    const uint64_t overlap = Overlap(gold, chunks[i]);
    const bool right =
        correct.majority ? 2 * overlap > gold.size() : overlap == most;
    if (right) correct.indices.push_back(static_cast<int>(i));
  }
  return correct;
}

int RankOfBest(absl::Span<const float> scores, absl::Span<const int> correct) {
  if (correct.empty()) return 0;
  float best = -std::numeric_limits<float>::infinity();
  for (const int index : correct) best = std::max(best, scores[index]);
  int rank = 1;
  size_t next = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (next < correct.size() && static_cast<size_t>(correct[next]) == i) {
      ++next;
    } else if (scores[i] > best - kTie) {
      ++rank;
    }
  }
  return rank;
}

double ReciprocalRank(int rank) { return rank == 0 ? 0 : 1.0 / rank; }

RetrievalMetrics ComputeMetrics(absl::Span<const int> ranks) {
  RetrievalMetrics metrics;
  metrics.queries = static_cast<int>(ranks.size());
  if (ranks.empty()) return metrics;
  for (const int rank : ranks) {
    metrics.mrr += ReciprocalRank(rank);
    metrics.recall_at_1 += rank == 1;
    metrics.recall_at_10 += rank >= 1 && rank <= 10;
  }
  metrics.mrr /= metrics.queries;
  metrics.recall_at_1 /= metrics.queries;
  metrics.recall_at_10 /= metrics.queries;
  return metrics;
}

Interval BootstrapMean(absl::Span<const double> differences,
                       absl::Span<const int> groups, int resamples,
                       uint64_t seed) {
  if (differences.empty()) return {};
  const Groups sums = SumGroups(differences, groups);
  Interval interval;
  for (const double difference : differences) interval.mean += difference;
  interval.mean /= static_cast<double>(differences.size());
  Random random(seed);
  std::vector<double> means;
  for (int i = 0; i < resamples; ++i) {
    double sum = 0;
    int count = 0;
    for (size_t drawn = 0; drawn < sums.sums.size(); ++drawn) {
      const size_t group = random.Below(sums.sums.size());
      sum += sums.sums[group];
      count += sums.sizes[group];
    }
    means.push_back(sum / count);
  }
  std::sort(means.begin(), means.end());
  interval.low = Percentile(means, 0.025);
  interval.high = Percentile(means, 0.975);
  return interval;
}

}  // namespace longhand::quality
