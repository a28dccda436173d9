#include "core/chunking/depth_scorer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace longhand {
namespace {

// A document's ends: no peak lies there.
constexpr double kNoSimilarity = -2;

double Cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double product = 0, a_squared = 0, b_squared = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += a[i] * b[i];
    a_squared += a[i] * a[i];
    b_squared += b[i] * b[i];
  }
  const double cosine = product / std::sqrt(a_squared * b_squared);
  return std::isfinite(cosine) ? cosine : 0;  // no vectors, no similarity
}

}  // namespace

void DepthScorer::Add(int32_t id, CutRank rank, std::vector<double>* scores) {
  const bool full = open_tokens_ == max_unit_tokens_;
  if (open_tokens_ > 0 && (full || rank >= CutRank::kSentence)) CloseUnit();
  AddToUnit(id);
  const int64_t unit = first_unit_ + int64_t(units_.size());
  waiting_.push_back({rank, unit});
  Release(first_gap_ + int64_t(similarities_.size()), scores);
}

void DepthScorer::Finish(std::vector<double>* scores) {
  if (open_tokens_ > 0) CloseUnit();
  const int64_t units = first_unit_ + int64_t(units_.size());
  for (int64_t gap = first_gap_ + int64_t(similarities_.size()); gap < units;
       ++gap) {
    similarities_.push_back(SimilarityAt(gap));
  }
  similarities_.insert(similarities_.end(), kClimbUnits + 1, kNoSimilarity);
  Release(std::numeric_limits<int64_t>::max(), scores);
}

void DepthScorer::AddToUnit(int32_t id) {
  open_.resize(table_.size);
  ++open_tokens_;
  const size_t row = size_t(id) * size_t(table_.size);
  if (id < 0 || row + size_t(table_.size) > table_.rows.size()) return;
  const float* vector = &table_.rows[row];
  for (int i = 0; i < table_.size; ++i) open_[i] += vector[i];
}

void DepthScorer::CloseUnit() {
  units_.push_back(std::move(open_));
  open_.clear();
  open_tokens_ = 0;
  const int64_t gap = first_unit_ + int64_t(units_.size()) - kBlockUnits;
  if (gap < 0) return;
  similarities_.push_back(SimilarityAt(gap));
  // The next gap looks back over kBlockUnits units.
  while (first_unit_ < gap + 1 - kBlockUnits) {
    units_.pop_front();
    ++first_unit_;
  }
}

double DepthScorer::SimilarityAt(int64_t gap) const {
  if (gap == 0) return kNoSimilarity;
  std::vector<double> before(table_.size), after(table_.size);
  const int64_t end = first_unit_ + int64_t(units_.size());
  for (int64_t unit = std::max<int64_t>(0, gap - kBlockUnits);
       unit < std::min(end, gap + kBlockUnits); ++unit) {
    std::vector<double>& side = unit < gap ? before : after;
    const std::vector<float>& sum = units_[unit - first_unit_];
    for (int i = 0; i < table_.size; ++i) side[i] += sum[i];
  }
  return Cosine(before, after);
}

double DepthScorer::DepthAt(int64_t gap) const {
  if (gap == 0) return 0;
  const double similarity = similarities_[gap - first_gap_];
  double depth = 0;
  for (const int direction : {-1, 1}) {
    double peak = similarity;
    for (int step = 1; step <= kClimbUnits; ++step) {
      const int64_t next = gap + direction * step;
      if (next < 0 || similarities_[next - first_gap_] < peak) break;
      peak = similarities_[next - first_gap_];
    }
    depth += peak - similarity;
  }
  return depth;
}

void DepthScorer::Release(int64_t gaps, std::vector<double>* scores) {
  while (!waiting_.empty()) {
    const Token token = waiting_.front();
    if (token.rank < CutRank::kSentence) {
      scores->push_back(double(token.rank));
    } else {
      if (token.unit + kClimbUnits >= gaps) return;
      scores->push_back(double(CutRank::kSentence) + DepthAt(token.unit));
    }
    waiting_.pop_front();
    while (first_gap_ < token.unit - kClimbUnits) {
      similarities_.pop_front();
      ++first_gap_;
    }
  }
}

}  // namespace longhand
