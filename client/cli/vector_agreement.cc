#include "client/cli/vector_agreement.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace longhand::client {
namespace {

double Dot(absl::Span<const float> a, absl::Span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

double Cosine(absl::Span<const float> a, absl::Span<const float> b) {
  const double norms = std::sqrt(Dot(a, a)) * std::sqrt(Dot(b, b));
  return norms > 0 ? Dot(a, b) / norms : 0;
}

// The same for many vectors: in lanes that the compiler can take together.
float DotInLanes(absl::Span<const float> a, absl::Span<const float> b) {
  constexpr size_t kLanes = 16;
  float sums[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= a.size(); i += kLanes) {
    for (size_t k = 0; k < kLanes; ++k) sums[k] += a[i + k] * b[i + k];
  }
  for (size_t k = 0; i < a.size(); ++i, ++k) sums[k] += a[i] * b[i];
  float sum = 0;
  for (const float lane : sums) sum += lane;
  return sum;
}

// The vectors scaled to length 1, row by row.
std::vector<float> UnitRows(absl::Span<const Chunk> chunks) {
  std::vector<float> rows;
  for (const Chunk& chunk : chunks) {
    const double norm = std::sqrt(Dot(chunk.vector, chunk.vector));
    const double scale = norm > 0 ? 1 / norm : 0;
    for (const float value : chunk.vector) {
      rows.push_back(static_cast<float>(value * scale));
    }
  }
  return rows;
}

// Whether chunk i of both can be compared, for all i.
bool HaveSameChunks(absl::Span<const Chunk> a, absl::Span<const Chunk> b) {
  if (a.empty() || a.size() != b.size()) return false;
  const size_t hidden = a.front().vector.size();
  if (hidden == 0) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].begin_token != b[i].begin_token ||
        a[i].end_token != b[i].end_token || a[i].vector.size() != hidden ||
        b[i].vector.size() != hidden) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::vector<size_t> NearestOthers(absl::Span<const Chunk> chunks) {
  const size_t count = chunks.size();
  if (count < 2 || count > kMaxNearestChunks) return {};
  const size_t hidden = chunks.front().vector.size();
  for (const Chunk& chunk : chunks) {
    if (chunk.vector.size() != hidden) return {};
  }
  const std::vector<float> rows = UnitRows(chunks);
  const auto row = [&](size_t i) {
    return absl::MakeConstSpan(rows).subspan(i * hidden, hidden);
  };
  std::vector<size_t> nearest(count, 0);
  std::vector<float> best(count, -std::numeric_limits<float>::infinity());
  const auto offer = [&](size_t to, size_t which, float cosine) {
    if (cosine <= best[to]) return;
    best[to] = cosine;
    nearest[to] = which;
  };
  // Every pair once; the chunks that one is offered come in ascending order.
  for (size_t j = 1; j < count; ++j) {
    for (size_t i = 0; i < j; ++i) {
      const float cosine = DotInLanes(row(i), row(j));
      offer(i, j, cosine);
      offer(j, i, cosine);
    }
  }
  return nearest;
}

ReferenceVectors::ReferenceVectors(const EncodeResult* encoded)
    : encoded_(*encoded), nearest_(NearestOthers(encoded->chunks)) {}

VectorAgreement ReferenceVectors::Compare(const EncodeResult& other) const {
  VectorAgreement agreement;
  if (!encoded_.document_vector.empty() &&
      encoded_.document_vector.size() == other.document_vector.size()) {
    agreement.document_cosine =
        Cosine(encoded_.document_vector, other.document_vector);
  }
  if (!HaveSameChunks(encoded_.chunks, other.chunks)) return agreement;
  const size_t count = encoded_.chunks.size();
  double sum = 0;
  double least = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < count; ++i) {
    const double cosine =
        Cosine(encoded_.chunks[i].vector, other.chunks[i].vector);
    sum += cosine;
    least = std::min(least, cosine);
  }
  agreement.mean_cosine = sum / static_cast<double>(count);
  agreement.min_cosine = least;
  const std::vector<size_t> ours = NearestOthers(other.chunks);
  if (ours.empty()) return agreement;
  size_t same = 0;
  for (size_t i = 0; i < count; ++i) same += ours[i] == nearest_[i] ? 1 : 0;
  agreement.same_nearest_share =
      static_cast<double>(same) / static_cast<double>(count);
  return agreement;
}

}  // namespace longhand::client
