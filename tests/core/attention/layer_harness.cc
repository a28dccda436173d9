#include "tests/core/attention/layer_harness.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>
#include <random>

#include "core/attention/adapter.h"
#include "core/base/check.h"
#include "core/compute/compute_context.h"

namespace longhand::testing {
namespace {

using Vector = std::vector<double>;
using Contexts = std::vector<std::vector<double>>;

double Dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

double LogSumExp(const Vector& x) {
  const double most = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (double value : x) sum += std::exp(value - most);
  return most + std::log(sum);
}

// One head of one chunk.
struct Head {
  std::vector<Vector> q, k, v;  // [rows][d]
  std::vector<Vector> own_k, own_v;
  std::vector<Vector> retrieval_q;  // [rows][d]; q without an adapter
  Vector mean_q, mean_k;            // with an adapter: the adapted ones
  Vector own_mean_k;
  double scale = 0;  // of the scores between chunks
  double gate = 0;
};

Vector Mean(const std::vector<Vector>& rows) {
  Vector mean(rows[0].size());
  for (const Vector& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      mean[i] += row[i] / double(rows.size());
    }
  }
  return mean;
}

// (up down x)[head * d, (head + 1) * d).
Vector LowRank(const Adapter::LowRank& matrix, const Vector& x, int head,
               int d) {
  const size_t hidden = x.size();
  Vector result(size_t(d), 0.0);
  for (int k = 0; k < matrix.rank; ++k) {
    double inner = 0;
    for (size_t i = 0; i < hidden; ++i) {
      inner += matrix.down.data()[size_t(k) * hidden + i] * x[i];
    }
    for (int c = 0; c < d; ++c) {
      result[c] += matrix.up.data()[(head * d + c) * matrix.rank + k] * inner;
    }
  }
  return result;
}

void AddLowRank(const std::optional<Adapter::LowRank>& matrix, const Vector& x,
                int head, Vector* y) {
  if (!matrix) return;
  const Vector delta = LowRank(*matrix, x, head, static_cast<int>(y->size()));
  for (size_t i = 0; i < y->size(); ++i) (*y)[i] += delta[i];
}

Head MakeHead(const HarnessChunk& chunk, int head,
              const AttentionOptions& options) {
  const int d = options.head_dim;
  const int hidden = options.hidden();
  Head result;
  std::vector<Vector> own_q, x, own_x;
  for (int r = 0; r < chunk.rows; ++r) {
    Vector parts[3];
    for (int part = 0; part < 3; ++part) {
      const float* begin =
          chunk.qkv.data() + (r * 3 + part) * hidden + head * d;
      parts[part].assign(begin, begin + d);
    }
    const float* row = chunk.x.data() + r * hidden;
    x.emplace_back(row, row + hidden);
    if (r >= chunk.own_begin && r < chunk.own_end) {
      own_q.push_back(parts[0]);
      own_x.push_back(x.back());
      result.own_k.push_back(parts[1]);
      result.own_v.push_back(parts[2]);
    }
    result.q.push_back(parts[0]);
    result.k.push_back(parts[1]);
    result.v.push_back(parts[2]);
  }
  result.retrieval_q = result.q;
  result.mean_q = Mean(own_q);
  result.mean_k = result.own_mean_k = Mean(result.own_k);
  result.scale = 1 / std::sqrt(double(d));
  result.gate = options.retrieval.gate;
  if (options.adapter == nullptr) return result;
  const Adapter::Layer& layer = options.adapter->layer(0);
  AddLowRank(layer.meta_query, Mean(own_x), head, &result.mean_q);
  AddLowRank(layer.meta_key, Mean(own_x), head, &result.mean_k);
  for (size_t r = 0; r < x.size(); ++r) {
    AddLowRank(layer.query, x[r], head, &result.retrieval_q[r]);
  }
  if (!layer.temperature.empty()) result.scale *= layer.temperature[head];
  if (!layer.gate.empty()) result.gate = layer.gate[head];
  return result;
}

// Softmax attention of one query; gives the log-sum-exp.
double Attend(const Vector& q, const std::vector<Vector>& k,
              const std::vector<Vector>& v, double scale, Vector* out) {
  Vector scores;
  for (const Vector& key : k) scores.push_back(scale * Dot(q, key));
  const double lse = LogSumExp(scores);
  out->assign(q.size(), 0);
  for (size_t t = 0; t < k.size(); ++t) {
    for (size_t i = 0; i < q.size(); ++i) {
      (*out)[i] += std::exp(scores[t] - lse) * v[t][i];
    }
  }
  return lse;
}

// The chunks that `self` takes from, with their weights.
std::vector<std::pair<int, double>> Select(const RetrievalOptions& options,
                                           int self, const Vector& scores) {
  const int slots = static_cast<int>(scores.size());
  const int seen = options.visibility == Visibility::kCausal ? self : slots;
  std::vector<int> pinned, rest;
  for (int j = 0; j < seen; ++j) {
    if (j == self) continue;
    const bool pin = options.top_k == 0 || j < options.anchors ||
                     std::abs(j - self) <= options.neighbors;
    (pin ? pinned : rest).push_back(j);
  }
  std::stable_sort(rest.begin(), rest.end(),
                   [&](int a, int b) { return scores[a] > scores[b]; });
  if (int(rest.size()) > options.top_k) rest.resize(size_t(options.top_k));
  pinned.insert(pinned.end(), rest.begin(), rest.end());
  std::sort(pinned.begin(), pinned.end());
  Vector chosen;
  int anchors = 0;
  for (int j : pinned) {
    chosen.push_back(scores[j]);
    anchors += j < options.anchors ? 1 : 0;
  }
  std::vector<std::pair<int, double>> result;
  if (pinned.empty()) return result;
  const double lse = LogSumExp(chosen);
  for (int j : pinned) {
    double weight = std::exp(scores[j] - lse);
    if (anchors > 0) weight *= 1 - options.anchor_share;
    if (j < options.anchors) weight += options.anchor_share / anchors;
    result.push_back({j, weight});
  }
  return result;
}

double Share(Merge merge, double gate, double log_own, double log_retrieved,
             double own_tokens, double tokens) {
  if (merge == Merge::kGate) return gate;
  double x = log_retrieved - log_own;
  if (merge == Merge::kBalancedLse) {
    x += std::log(gate / (1 - gate) * own_tokens / tokens);
  }
  return 1 / (1 + std::exp(-x));
}

Vector Phi(FeatureMap features, const Vector& x) {
  Vector y = x;
  if (features == FeatureMap::kElu) {
    for (double& value : y) value = value > 0 ? value + 1 : std::exp(value);
    return y;
  }
  const double lse = LogSumExp(x);
  for (double& value : y) value = std::exp(value - lse);
  return y;
}

// Calls body(chunk, head index, heads of all chunks, context of a row) with the
// local part filled in.
using Body = std::function<void(int, const std::vector<Head>&,
                                std::vector<Vector>*, const Vector&)>;
Contexts ForEachHead(const std::vector<HarnessChunk>& chunks,
                     const AttentionOptions& options, const Body& body) {
  const int heads = options.num_heads;
  const int d = options.head_dim;
  const int hidden = options.hidden();
  Contexts contexts;
  for (const HarnessChunk& chunk : chunks) {
    contexts.emplace_back(size_t(chunk.rows * hidden));
  }
  for (int head = 0; head < heads; ++head) {
    std::vector<Head> all;
    for (const HarnessChunk& chunk : chunks) {
      all.push_back(MakeHead(chunk, head, options));
    }
    for (size_t i = 0; i < chunks.size(); ++i) {
      std::vector<Vector> context(size_t(chunks[i].rows));
      Vector log_own;
      for (size_t r = 0; r < context.size(); ++r) {
        log_own.push_back(Attend(all[i].q[r], all[i].k, all[i].v,
                                 1 / std::sqrt(double(d)), &context[r]));
      }
      body(static_cast<int>(i), all, &context, log_own);
      for (size_t r = 0; r < context.size(); ++r) {
        std::copy(context[r].begin(), context[r].end(),
                  contexts[i].begin() + int64_t(r) * hidden + head * d);
      }
    }
  }
  return contexts;
}

void Blend(double share, const Vector& other, Vector* context) {
  for (size_t i = 0; i < other.size(); ++i) {
    (*context)[i] = (1 - share) * (*context)[i] + share * other[i];
  }
}

}  // namespace

LayerHarness::LayerHarness(int heads, int head_dim, float scale, uint32_t seed)
    : heads_(heads), head_dim_(head_dim), scale_(scale), seed_(seed) {}

void LayerHarness::AddChunks(const std::vector<int>& rows) {
  std::mt19937 random(seed_++);
  std::normal_distribution<float> normal(0, scale_);
  for (int count : rows) {
    HarnessChunk& chunk = chunks_.emplace_back();
    chunk.rows = count;
    chunk.own_begin = count > 2 ? 1 : 0;
    chunk.own_end = count > 2 ? count - 1 : count;
    chunk.x.resize(size_t(count * hidden()));
    chunk.qkv.resize(size_t(3 * count * hidden()));
    for (float& value : chunk.x) value = normal(random);
    for (float& value : chunk.qkv) value = normal(random);
  }
}

std::vector<std::vector<float>> LayerHarness::Run(
    const Attention& attention, const std::string& codec,
    std::vector<std::vector<float>>* head_weights) {
  ComputeContext compute;
  const std::shared_ptr<const StateCodec> state_codec =
      *(**StateCodecRegistry().Find(codec))({});
  std::vector<std::vector<float>> contexts, scratch;
  std::vector<std::unique_ptr<ChunkState>> states;
  std::vector<const ChunkState*> borrowed;
  std::vector<ChunkSlot> slots;
  int64_t first_token = 0;
  for (const HarnessChunk& chunk : chunks_) {
    contexts.emplace_back(size_t(chunk.rows * hidden()));
    scratch.emplace_back(size_t(attention.scratch_floats(chunk.rows)));
  }
  for (size_t i = 0; i < chunks_.size(); ++i) {
    const HarnessChunk& chunk = chunks_[i];
    slots.push_back({.rows = chunk.rows,
                     .own_begin = chunk.own_begin,
                     .own_end = chunk.own_end,
                     .first_token = first_token,
                     .context = contexts[i].data(),
                     .scratch = scratch[i].data()});
    first_token += chunk.own_end - chunk.own_begin;
    const StateLayout layout =
        attention.state_layout(chunk.own_end - chunk.own_begin);
    std::vector<float> state(size_t(layout.floats()));
    compute.workspace().Reset();
    attention.Local({0, chunk.x.data(), chunk.qkv.data(), 3 * hidden()},
                    slots.back(), state.data(), compute);
    states.push_back(std::make_unique<ChunkState>(StateFingerprint{}, layout,
                                                  state_codec, 1));
    if (attention.exchanges()) states.back()->SetLayer(0, state.data());
    borrowed.push_back(states.back().get());
    slots.back().meta = states.back()->mutable_meta(0);
  }
  if (!attention.exchanges()) return contexts;
  if (head_weights != nullptr) head_weights->resize(chunks_.size());
  for (size_t i = 0; i < chunks_.size() && head_weights != nullptr; ++i) {
    (*head_weights)[i].assign(size_t(heads_) * chunks_.size(), 0.0f);
    slots[i].head_weights = (*head_weights)[i].data();
  }
  const BatchView batch{
      .layer = 0, .states = {borrowed, 0}, .first = 0, .chunks = slots};
  for (int item = 0; item < attention.exchange_items(); ++item) {
    compute.workspace().Reset();
    attention.Exchange(item, batch, compute);
  }
  for (int i = 0; i < static_cast<int>(slots.size()); ++i) {
    compute.workspace().Reset();
    attention.Finish(i, batch, compute);
  }
  return contexts;
}

Contexts LayerHarness::Bsbr(const AttentionOptions& options) const {
  const RetrievalOptions& retrieval = options.retrieval;
  const int d = head_dim_;
  return ForEachHead(
      chunks_, options,
      [&](int i, const auto& heads, auto* context, const Vector&) {
        Vector scores;
        for (const Head& head : heads) {
          scores.push_back(heads[i].scale * Dot(heads[i].mean_q, head.mean_k));
        }
        const auto chosen = Select(retrieval, i, scores);
        if (chosen.empty()) return;
        for (size_t r = 0; r < context->size(); ++r) {
          const Vector phi_q = Phi(retrieval.features, heads[i].retrieval_q[r]);
          Vector numerator(size_t(d), 0.0);
          double mass = 0, own_mass = 0, tokens = 0;
          for (const auto& [j, weight] : chosen) {
            tokens += weight * double(heads[j].own_k.size());
            for (size_t t = 0; t < heads[j].own_k.size(); ++t) {
              const double a = weight * Dot(phi_q, Phi(retrieval.features,
                                                       heads[j].own_k[t]));
              mass += a;
              for (int c = 0; c < d; ++c)
                numerator[c] += a * heads[j].own_v[t][c];
            }
          }
          for (const Vector& key : heads[i].own_k) {
            own_mass += Dot(phi_q, Phi(retrieval.features, key));
          }
          for (double& value : numerator) value /= mass;
          if (retrieval.merge == Merge::kLse) mass *= double(chosen.size());
          Blend(Share(retrieval.merge, heads[i].gate, std::log(own_mass),
                      std::log(mass), double(heads[i].own_k.size()), tokens),
                numerator, &(*context)[r]);
        }
      });
}

Contexts LayerHarness::Exact(const AttentionOptions& options) const {
  const RetrievalOptions& retrieval = options.retrieval;
  // One choice for all heads.
  std::vector<Vector> scores(chunks_.size(), Vector(chunks_.size(), 0.0));
  for (int head = 0; head < heads_; ++head) {
    std::vector<Head> all;
    for (const HarnessChunk& chunk : chunks_) {
      all.push_back(MakeHead(chunk, head, options));
    }
    for (size_t i = 0; i < all.size(); ++i) {
      for (size_t j = 0; j < all.size(); ++j) {
        scores[i][j] +=
            all[i].scale * Dot(all[i].mean_q, all[j].mean_k) / heads_;
        if (head == 0) scores[i][j] += std::log(double(all[j].own_k.size()));
      }
    }
  }
  return ForEachHead(
      chunks_, options,
      [&](int i, const auto& heads, auto* context, const Vector& log_own) {
        const auto chosen = Select(retrieval, i, scores[i]);
        if (chosen.empty()) return;
        std::vector<Vector> keys, values;
        for (const auto& [j, weight] : chosen) {
          keys.insert(keys.end(), heads[j].own_k.begin(), heads[j].own_k.end());
          values.insert(values.end(), heads[j].own_v.begin(),
                        heads[j].own_v.end());
        }
        for (size_t r = 0; r < context->size(); ++r) {
          Vector retrieved;
          const double lse = Attend(heads[i].retrieval_q[r], keys, values,
                                    heads[i].scale, &retrieved);
          Blend(Share(retrieval.merge, heads[i].gate, log_own[r], lse,
                      double(heads[i].own_k.size()), double(keys.size())),
                retrieved, &(*context)[r]);
        }
      });
}

Contexts LayerHarness::Cumulant(const AttentionOptions& options) const {
  const RetrievalOptions& retrieval = options.retrieval;
  const int d = head_dim_;
  const auto variance = [d](const Head& head) {
    Vector result(size_t(d), 0.0);
    for (const Vector& key : head.own_k) {
      for (int c = 0; c < d; ++c) {
        result[c] += std::pow(key[c] - head.own_mean_k[c], 2) /
                     double(head.own_k.size());
      }
    }
    return result;
  };
  const auto log_mass = [&](double scale, const Vector& q, const Vector& mean_k,
                            const Head& head) {
    const double n = double(head.own_k.size());
    const Vector spread = variance(head);
    double square = 0;
    for (int c = 0; c < d; ++c) square += q[c] * q[c] * spread[c];
    square *= scale * scale;
    const double critical = std::sqrt(2 * std::log(n));
    return scale * Dot(q, mean_k) + (std::sqrt(square) <= critical
                                         ? std::log(n) + square / 2
                                         : std::sqrt(square) * critical);
  };
  return ForEachHead(
      chunks_, options,
      [&](int i, const auto& heads, auto* context, const Vector& log_own) {
        Vector scores;
        for (const Head& head : heads) {
          scores.push_back(
              log_mass(heads[i].scale, heads[i].mean_q, head.mean_k, head));
        }
        const auto chosen = Select(retrieval, i, scores);
        if (chosen.empty()) return;
        double tokens = 0, mean_tokens = 0;
        for (const auto& [j, weight] : chosen) {
          tokens += double(heads[j].own_k.size());
          mean_tokens += weight * double(heads[j].own_k.size());
        }
        for (size_t r = 0; r < context->size(); ++r) {
          const Vector& q = heads[i].retrieval_q[r];
          const double scale = heads[i].scale;
          Vector tilt(size_t(d), 0.0), mean(size_t(d), 0.0), masses;
          double square = 0;
          for (const auto& [j, weight] : chosen) {
            const Head& head = heads[j];
            const Vector mean_v = Mean(head.own_v);
            const Vector spread = variance(head);
            masses.push_back(log_mass(scale, q, head.own_mean_k, head));
            for (int c = 0; c < d; ++c) {
              mean[c] += weight * mean_v[c];
              square += weight * scale * scale * q[c] * q[c] * spread[c];
            }
            for (size_t t = 0; t < head.own_k.size(); ++t) {
              double dot = 0;
              for (int c = 0; c < d; ++c) {
                dot += (head.own_k[t][c] - head.own_mean_k[c]) * q[c];
              }
              for (int c = 0; c < d; ++c) {
                tilt[c] += weight * scale * dot *
                           (head.own_v[t][c] - mean_v[c]) /
                           double(head.own_k.size());
              }
            }
          }
          const double critical = std::sqrt(2 * std::log(mean_tokens));
          const double damping = std::min(1.0, critical / std::sqrt(square));
          for (int c = 0; c < d; ++c) mean[c] += damping * tilt[c];
          Blend(Share(retrieval.merge, heads[i].gate, log_own[r],
                      LogSumExp(masses), double(heads[i].own_k.size()), tokens),
                mean, &(*context)[r]);
        }
      });
}

void LayerHarness::MakeKeysZero() {
  for (HarnessChunk& chunk : chunks_) {
    for (int r = 0; r < chunk.rows; ++r) {
      std::fill_n(chunk.qkv.begin() + (r * 3 + 1) * hidden(), hidden(), 0.0f);
    }
  }
}

Contexts LayerHarness::Dense() const {
  return ForEachHead(
      chunks_, {.num_heads = heads_, .head_dim = head_dim_},
      [&](int i, const auto& heads, auto* context, const Vector&) {
        std::vector<Vector> keys = heads[i].k;
        std::vector<Vector> values = heads[i].v;
        for (int j = 0; j < static_cast<int>(heads.size()); ++j) {
          if (j == i) continue;
          const Head& head = heads[j];
          keys.insert(keys.end(), head.own_k.begin(), head.own_k.end());
          values.insert(values.end(), head.own_v.begin(), head.own_v.end());
        }
        for (size_t r = 0; r < context->size(); ++r) {
          Attend(heads[i].q[r], keys, values, 1 / std::sqrt(double(head_dim_)),
                 &(*context)[r]);
        }
      });
}

double MaxDifference(const std::vector<std::vector<float>>& a,
                     const std::vector<std::vector<double>>& b) {
  LH_CHECK(a.size() == b.size());
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    LH_CHECK(a[i].size() == b[i].size());
    for (size_t j = 0; j < a[i].size(); ++j) {
      const double difference = std::abs(a[i][j] - b[i][j]);
      // NaN must not pass as small.
      if (!(difference <= most)) most = difference;
    }
  }
  return most;
}

}  // namespace longhand::testing
