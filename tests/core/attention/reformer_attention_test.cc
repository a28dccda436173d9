// Reformer's attention against a twin in double precision that fills sequences
// up, cuts and rolls stretches and masks scores as the public implementation
// does; its memory in long chunks.

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/lsh_buckets.h"
#include "core/attention/registry.h"
#include "core/base/error.h"
#include "core/compute/compute_context.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

constexpr int kHeads = 2;

struct Case {
  bool is_lsh;
  int rows;
  int stretch;
  int before = 1;
  int after = 0;
  int hashes = 1;
  BucketFactors factors = {4};
  // Sequences of more rows than this are filled up to a multiple of `multiple`;
  // 0: both are the stretch.
  int unfilled = 0;
  int multiple = 0;
  double share_of_padding = 0;
  int head_dim = 8;
};

// One chunk of one layer.
class Chunk {
 public:
  explicit Chunk(const Case& c) : case_(c), hidden_(kHeads * c.head_dim) {
    if (case_.unfilled == 0) case_.unfilled = case_.multiple = c.stretch;
    std::mt19937 random(uint32_t(c.rows * 31 + c.stretch));
    std::normal_distribution<float> normal;
    qkv_.resize(size_t(c.rows * stride()));
    for (float& value : qkv_) value = 1.5f * normal(random);
    std::bernoulli_distribution padding(c.share_of_padding);
    for (int r = 0; r < c.rows; ++r) mask_.push_back(padding(random) ? 0 : 1);
    rotations_.resize(size_t(hidden_ * c.hashes * RotationSize(case_.factors)));
    for (float& value : rotations_) value = normal(random);
    AddExtras();
  }

  const Case& options() const { return case_; }
  int hidden() const { return hidden_; }
  // Queries that are keys and values, or queries, keys and values.
  int parts() const { return case_.is_lsh ? 2 : 3; }
  int64_t stride() const { return int64_t{parts()} * hidden_; }
  int filled() const {
    if (case_.rows <= case_.unfilled) return case_.rows;
    return (case_.rows + case_.multiple - 1) / case_.multiple * case_.multiple;
  }
  bool is_whole() const { return filled() <= case_.stretch; }

  // Zero and masked behind the chunk.
  double at(int part, int row, int head, int i) const {
    if (row >= case_.rows) return 0;
    return qkv_[size_t(row * stride() + part * hidden_ + head * case_.head_dim +
                       i)];
  }
  bool is_seen(int row) const {
    return row < case_.rows && mask_[size_t(row)] != 0;
  }
  double rotation(int head, int dim, int hash, int i) const {
    const int size = RotationSize(case_.factors);
    return rotations_[size_t(
        ((head * case_.head_dim + dim) * case_.hashes + hash) * size + i)];
  }

  void SetRows(int rows, const std::vector<uint8_t>& mask) {
    case_.rows = rows;
    qkv_.resize(size_t(rows * stride()), 0.25f);
    mask_ = mask;
  }

  std::vector<float> Run(ComputeContext& compute) const {
    const LayerExtras* const extras[] = {&extras_};
    auto attention =
        (**AttentionRegistry().Find("reformer"))({.num_heads = kHeads,
                                                  .head_dim = case_.head_dim,
                                                  .num_layers = 1,
                                                  .extras = extras});
    LH_CHECK(attention.ok());
    std::vector<float> context(size_t(case_.rows * hidden_), -7.0f);
    (*attention)
        ->Local(
            {.layer = 0, .x = nullptr, .qkv = qkv_.data(), .stride = stride()},
            {.rows = case_.rows,
             .own_begin = 0,
             .own_end = case_.rows,
             .mask = mask_.data(),
             .context = context.data()},
            nullptr, compute);
    return context;
  }

  // Of one head, [hashes][rows].
  std::vector<int32_t> Buckets(int head) const {
    const int d = case_.head_dim;
    const int size = RotationSize(case_.factors);
    std::vector<float> turned(size_t(kHashTile * case_.hashes * size));
    std::vector<int32_t> buckets(size_t(case_.hashes * case_.rows));
    HashRows({.x = {qkv_.data() + head * d, stride()},
              .rows = case_.rows,
              .head_dim = d,
              .rotations =
                  rotations_.data() + int64_t{head} * d * case_.hashes * size,
              .num_hashes = case_.hashes,
              .factors = case_.factors,
              .turned = turned.data()},
             buckets.data());
    return buckets;
  }

 private:
  void AddExtras() {
    const std::pair<const char*, int64_t> numbers[] = {
        {"is_lsh", case_.is_lsh ? 1 : 0},
        {"chunk_length", case_.stretch},
        {"chunks_before", case_.before},
        {"chunks_after", case_.after},
        {"length_multiple", case_.multiple},
        {"unfilled_length", case_.unfilled},
        {"num_hashes", case_.hashes},
        {"hash_seed", 0},
        {"bucket_limit", 1 << 20},
        {"num_bucket_factors", int64_t(case_.factors.size())}};
    for (const auto& [role, number] : numbers) extras_.AddNumber(role, number);
    for (size_t i = 0; i < case_.factors.size(); ++i) {
      extras_.AddNumber(absl::StrCat("bucket_factor_", i), case_.factors[i]);
    }
    extras_.AddTensor("lsh_rotations", FloatBuffer::CopyOf(rotations_));
  }

  Case case_;
  const int hidden_;
  std::vector<float> qkv_;
  std::vector<uint8_t> mask_;
  std::vector<float> rotations_;
  LayerExtras extras_;
};

// The public implementation in double precision, one head. Its log masses are
// floats: near -1e5, the score of a row with itself, that shows.
class Twin {
 public:
  Twin(const Chunk& chunk, int head)
      : chunk_(chunk), head_(head), n_(chunk.filled()) {}

  // [rounds][filled rows]; the rows that nobody sees in a bucket of their own.
  std::vector<std::vector<int>> Buckets() const {
    const Case& c = chunk_.options();
    int product = 1;
    for (int factor : c.factors) product *= factor;
    std::vector<std::vector<int>> buckets;
    for (int hash = 0; hash < c.hashes; ++hash) {
      std::vector<int>& round = buckets.emplace_back();
      for (int row = 0; row < n_; ++row) {
        round.push_back(chunk_.is_seen(row) ? Bucket(hash, row) : product);
      }
    }
    return buckets;
  }

  // [rows, head_dim] of the rows that are seen, 0 for the others.
  std::vector<double> Context() {
    Order();
    const int d = chunk_.options().head_dim;
    std::vector<double> context(size_t(chunk_.options().rows * d));
    std::vector<std::vector<double>> outs;
    std::vector<float> masses;
    for (int row = 0; row < chunk_.options().rows; ++row) {
      if (!chunk_.is_seen(row)) continue;
      outs.clear();
      masses.clear();
      for (size_t i = 0; i < order_.size(); ++i) {
        if (order_[i] != row) continue;
        outs.emplace_back();
        masses.push_back(Attend(int(i), &outs.back()));
      }
      const float total = LogSum({masses.begin(), masses.end()});
      for (size_t i = 0; i < outs.size(); ++i) {
        for (int j = 0; j < d; ++j) {
          context[size_t(row * d + j)] +=
              outs[i][size_t(j)] * std::exp(double{masses[i]} - total);
        }
      }
    }
    return context;
  }

 private:
  static float LogSum(const std::vector<double>& x) {
    const double most = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (double value : x) sum += std::exp(value - most);
    return float(most + std::log(sum));
  }

  int Bucket(int hash, int row) const {
    const Case& c = chunk_.options();
    int bucket = 0, product = 1, begin = 0;
    for (int factor : c.factors) {
      std::vector<double> y(static_cast<size_t>(factor));
      for (int i = 0; i < factor / 2; ++i) {
        for (int j = 0; j < c.head_dim; ++j) {
          y[size_t(i)] += chunk_.at(0, row, head_, j) *
                          chunk_.rotation(head_, j, hash, begin + i);
        }
        y[size_t(i + factor / 2)] = -y[size_t(i)];
      }
      bucket += product * int(std::max_element(y.begin(), y.end()) - y.begin());
      product *= factor;
      begin += factor / 2;
    }
    return bucket;
  }

  // The rows of all rounds, one round behind the other.
  void Order() {
    order_.clear();
    if (!chunk_.options().is_lsh || chunk_.is_whole()) {
      for (int row = 0; row < n_; ++row) order_.push_back(row);
      return;
    }
    for (const std::vector<int>& buckets : Buckets()) {
      std::vector<int> rows;
      for (int row = 0; row < n_; ++row) rows.push_back(row);
      std::stable_sort(rows.begin(), rows.end(), [&](int a, int b) {
        return buckets[size_t(a)] < buckets[size_t(b)];
      });
      order_.insert(order_.end(), rows.begin(), rows.end());
    }
  }

  // torch.cat([x[step:], x[:step]]) of the numbers of all stretches, at
  // `stretch`: Python's slices end where the list does.
  static int Rolled(int stretch, int step, int count) {
    const int cut =
        step >= 0 ? std::min(step, count) : std::max(count + step, 0);
    const int from_cut = stretch + cut;
    return from_cut < count ? from_cut : from_cut - count;
  }

  // The rows that the one at `place` of the order sees.
  std::vector<int> Seen(int place) const {
    if (chunk_.is_whole()) return order_;
    const Case& c = chunk_.options();
    const int count = int(order_.size()) / c.stretch;
    std::vector<int> seen;
    for (int step = -c.before; step <= c.after; ++step) {
      const auto begin =
          order_.begin() + Rolled(place / c.stretch, step, count) * c.stretch;
      seen.insert(seen.end(), begin, begin + c.stretch);
    }
    return seen;
  }

  double Score(int query, int key) const {
    const Case& c = chunk_.options();
    if (c.is_lsh && query == key) return -1e5;
    if (!chunk_.is_seen(key)) return -1e9;
    const int part = c.is_lsh ? 0 : 1;
    double dot = 0, squares = 0;
    for (int j = 0; j < c.head_dim; ++j) {
      const double k = chunk_.at(part, key, head_, j);
      dot += chunk_.at(0, query, head_, j) * k;
      squares += k * k;
    }
    if (c.is_lsh) dot /= std::sqrt(squares / c.head_dim + 1e-6);
    return dot / std::sqrt(double(c.head_dim));
  }

  // Gives the log mass.
  float Attend(int place, std::vector<double>* out) const {
    const Case& c = chunk_.options();
    const std::vector<int> seen = Seen(place);
    std::vector<double> scores;
    for (int key : seen) scores.push_back(Score(order_[size_t(place)], key));
    const float mass = LogSum(scores);
    out->assign(size_t(c.head_dim), 0.0);
    for (size_t i = 0; i < seen.size(); ++i) {
      for (int j = 0; j < c.head_dim; ++j) {
        (*out)[size_t(j)] += std::exp(scores[i] - mass) *
                             chunk_.at(chunk_.parts() - 1, seen[i], head_, j);
      }
    }
    return mass;
  }

  const Chunk& chunk_;
  const int head_;
  const int n_;
  std::vector<int> order_;
};

void CheckAgainstTwin(const Case& c) {
  SCOPED_TRACE(absl::StrCat(c.is_lsh ? "lsh" : "local", " rows ", c.rows,
                            " stretch ", c.stretch, " before ", c.before,
                            " after ", c.after, " hashes ", c.hashes,
                            " padding ", c.share_of_padding));
  const Chunk chunk(c);
  ComputeContext compute;
  const std::vector<float> context = chunk.Run(compute);
  for (int head = 0; head < kHeads; ++head) {
    Twin twin(chunk, head);
    if (c.is_lsh && !chunk.is_whole()) {
      const std::vector<int32_t> buckets = chunk.Buckets(head);
      const auto expected = twin.Buckets();
      for (int i = 0; i < c.hashes * c.rows; ++i) {
        if (!chunk.is_seen(i % c.rows)) continue;
        ASSERT_EQ(buckets[size_t(i)],
                  expected[size_t(i / c.rows)][size_t(i % c.rows)]);
      }
    }
    const std::vector<double> expected = twin.Context();
    for (int row = 0; row < c.rows; ++row) {
      for (int j = 0; j < c.head_dim; ++j) {
        ASSERT_NEAR(
            context[size_t(row * chunk.hidden() + head * c.head_dim + j)],
            expected[size_t(row * c.head_dim + j)], 2e-5)
            << "head " << head << " row " << row;
      }
    }
  }
}

TEST(ReformerAttentionTest, LocalLayersAreTheTwins) {
  CheckAgainstTwin({.is_lsh = false, .rows = 1, .stretch = 16});
  CheckAgainstTwin({.is_lsh = false, .rows = 16, .stretch = 16});
  CheckAgainstTwin({.is_lsh = false, .rows = 64, .stretch = 16});
  CheckAgainstTwin({.is_lsh = false, .rows = 200, .stretch = 100});
  for (double padding : {0.0, 0.4}) {
    CheckAgainstTwin({.is_lsh = false,
                      .rows = 77,
                      .stretch = 12,
                      .before = 2,
                      .after = 1,
                      .unfilled = 8,
                      .multiple = 24,
                      .share_of_padding = padding});
    CheckAgainstTwin({.is_lsh = false,
                      .rows = 50,
                      .stretch = 64,
                      .share_of_padding = padding});
    CheckAgainstTwin({.is_lsh = false,
                      .rows = 31,
                      .stretch = 8,
                      .before = 0,
                      .after = 3,
                      .share_of_padding = padding});
  }
}

TEST(ReformerAttentionTest, HashedLayersAreTheTwins) {
  CheckAgainstTwin({.is_lsh = true, .rows = 1, .stretch = 16});
  CheckAgainstTwin({.is_lsh = true, .rows = 16, .stretch = 16});
  CheckAgainstTwin({.is_lsh = true, .rows = 64, .stretch = 16});
  CheckAgainstTwin({.is_lsh = true, .rows = 300, .stretch = 100, .hashes = 2});
  for (double padding : {0.0, 0.4}) {
    CheckAgainstTwin({.is_lsh = true,
                      .rows = 90,
                      .stretch = 16,
                      .hashes = 4,
                      .factors = {4, 6},
                      .unfilled = 12,
                      .multiple = 48,
                      .share_of_padding = padding,
                      .head_dim = 20});
    CheckAgainstTwin({.is_lsh = true,
                      .rows = 41,
                      .stretch = 4,
                      .before = 2,
                      .after = 2,
                      .hashes = 3,
                      .factors = {2, 2, 4},
                      .share_of_padding = padding});
    CheckAgainstTwin({.is_lsh = true,
                      .rows = 50,
                      .stretch = 64,
                      .hashes = 3,
                      .share_of_padding = padding});
    // Filled up, and yet no longer than a stretch.
    CheckAgainstTwin({.is_lsh = true,
                      .rows = 50,
                      .stretch = 64,
                      .hashes = 2,
                      .unfilled = 16,
                      .multiple = 64,
                      .share_of_padding = padding});
  }
}

// Two stretches that are before each other, behind each other and, further on,
// the row's own.
TEST(ReformerAttentionTest, TheCircleGoesRoundOnce) {
  for (bool is_lsh : {false, true}) {
    for (int before = 0; before < 5; ++before) {
      for (int after = 0; after < 5; ++after) {
        CheckAgainstTwin({.is_lsh = is_lsh,
                          .rows = 12,
                          .stretch = 4,
                          .before = before,
                          .after = after});
      }
    }
  }
}

// Some rows see only themselves, once or several times, in all rounds.
TEST(ReformerAttentionTest, LonelyRowsAreTheTwins) {
  for (int before : {0, 1, 3}) {
    for (double padding : {0.6, 0.9}) {
      CheckAgainstTwin({.is_lsh = true,
                        .rows = 33,
                        .stretch = 4,
                        .before = before,
                        .hashes = 3,
                        .factors = {2},
                        .share_of_padding = padding});
      CheckAgainstTwin({.is_lsh = true,
                        .rows = 13,
                        .stretch = 4,
                        .before = before,
                        .after = 1,
                        .hashes = 2,
                        .factors = {2},
                        .share_of_padding = padding});
    }
  }
}

// What fills a sequence up and what a mask hides is the same.
TEST(ReformerAttentionTest, PaddingThatFillsAStretchChangesNothing) {
  for (bool is_lsh : {false, true}) {
    Chunk chunk({.is_lsh = is_lsh, .rows = 75, .stretch = 16, .hashes = 2});
    ComputeContext compute;
    const std::vector<float> context = chunk.Run(compute);
    std::vector<uint8_t> mask(80, 1);
    std::fill(mask.begin() + 75, mask.end(), uint8_t{0});
    chunk.SetRows(80, mask);
    std::vector<float> padded = chunk.Run(compute);
    EXPECT_TRUE(std::all_of(padded.begin() + int64_t(context.size()),
                            padded.end(), [](float x) { return x == 0; }));
    padded.resize(context.size());
    EXPECT_EQ(padded, context);
  }
}

TEST(ReformerAttentionTest, MemoryGrowsWithTheRowsAlone) {
  for (bool is_lsh : {false, true}) {
    // In stretches, and all in one.
    for (int stretch : {64, 8192}) {
      const Chunk chunk(
          {.is_lsh = is_lsh, .rows = 8192, .stretch = stretch, .hashes = 2});
      ComputeContext compute;
      chunk.Run(compute);
      EXPECT_LT(compute.workspace().capacity(), uint64_t{16} << 20);
    }
  }
}

std::string ReasonOf(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

TEST(ReformerAttentionTest, NeedsItsFamily) {
  const LayerExtras none;
  const LayerExtras* const extras[] = {&none};
  const auto make = *AttentionRegistry().Find("reformer");
  for (const AttentionOptions& options :
       {AttentionOptions{.num_heads = 2, .head_dim = 8, .num_layers = 1},
        AttentionOptions{.num_heads = 2,
        .head_dim = 8,
        .num_layers = 1,
        .extras = extras}}) {
    EXPECT_EQ(ReasonOf((*make)(options).status()), "MECHANISM_UNAVAILABLE");
  }
}

}  // namespace
}  // namespace longhand
