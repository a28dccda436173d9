#include "core/compute/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace longhand::reference {
namespace {

double At(const MatrixView& matrix, int row, int column) {
  return matrix.transposed ? matrix.data[column * matrix.stride + row]
                           : matrix.data[row * matrix.stride + column];
}

}  // namespace

void Linear(const LinearArgs& linear, const float* src, int rows, float* dst) {
  for (int r = 0; r < rows; ++r) {
    for (int o = 0; o < linear.outputs; ++o) {
      double sum = linear.bias[o];
      for (int i = 0; i < linear.inputs; ++i) {
        sum += double{src[int64_t{r} * linear.inputs + i]} *
               linear.weights[int64_t{o} * linear.inputs + i];
      }
      float& out = dst[int64_t{r} * linear.outputs + o];
      const double value = Activate(sum, linear.options.activation);
      out = static_cast<float>(linear.options.accumulate ? out + value : value);
    }
  }
}

void Gemm(int m, int n, int k, float alpha, const MatrixView& a,
          const MatrixView& b, float* dst, int64_t dst_stride) {
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int l = 0; l < k; ++l) sum += At(a, i, l) * At(b, l, j);
      dst[i * dst_stride + j] = static_cast<float>(alpha * sum);
    }
  }
}

void SoftmaxRows(float* x, int rows, int columns, int64_t stride) {
  for (int r = 0; r < rows; ++r) {
    float* row = x + r * stride;
    const double max = *std::max_element(row, row + columns);
    double sum = 0;
    for (int c = 0; c < columns; ++c) sum += std::exp(row[c] - max);
    for (int c = 0; c < columns; ++c) {
      row[c] = static_cast<float>(std::exp(row[c] - max) / sum);
    }
  }
}

void LayerNormRows(float* x, int rows, int columns, const float* scale,
                   const float* bias, float eps) {
  for (int r = 0; r < rows; ++r) {
    float* row = x + int64_t{r} * columns;
    double mean = 0;
    for (int c = 0; c < columns; ++c) mean += row[c];
    mean /= columns;
    double variance = 0;
    for (int c = 0; c < columns; ++c) {
      variance += (row[c] - mean) * (row[c] - mean);
    }
    variance /= columns;
    for (int c = 0; c < columns; ++c) {
      row[c] = static_cast<float>(
          (row[c] - mean) / std::sqrt(variance + double{eps}) * scale[c] +
          bias[c]);
    }
  }
}

void RmsNormRows(float* x, int rows, int columns, const float* scale,
                 int64_t stride, float eps) {
  for (int r = 0; r < rows; ++r) {
    float* row = x + r * stride;
    double square = 0;
    for (int c = 0; c < columns; ++c) square += double(row[c]) * row[c];
    const double inverse = 1 / std::sqrt(square / columns + double{eps});
    for (int c = 0; c < columns; ++c) {
      row[c] = static_cast<float>(row[c] * inverse * scale[c]);
    }
  }
}

void Multiply(const float* x, int64_t size, float* y) {
  for (int64_t i = 0; i < size; ++i) y[i] *= x[i];
}

void EluPlusOne(const float* x, int64_t size, float* y) {
  for (int64_t i = 0; i < size; ++i) {
    y[i] = x[i] > 0 ? x[i] + 1 : std::exp(x[i]);
  }
}

void LogEluPlusOne(const float* x, int64_t size, float* y) {
  for (int64_t i = 0; i < size; ++i) {
    y[i] = x[i] > 0 ? static_cast<float>(std::log1p(double{x[i]})) : x[i];
  }
}

void SquaredRelu(const float* x, int64_t size, float* y) {
  for (int64_t i = 0; i < size; ++i) y[i] = x[i] > 0 ? x[i] * x[i] : 0;
}

void AddTo(const float* x, int64_t size, float* y) {
  for (int64_t i = 0; i < size; ++i) y[i] += x[i];
}

void Scale(float factor, int64_t size, float* y) {
  for (int64_t i = 0; i < size; ++i) y[i] *= factor;
}

void Dots(const float* a, absl::Span<const float* const> x, int64_t size,
          float factor, float* out) {
  for (size_t s = 0; s < x.size(); ++s) {
    double sum = 0;
    for (int64_t i = 0; i < size; ++i) sum += double{a[i]} * x[s][i];
    out[s] = static_cast<float>(factor * sum);
  }
}

void WeightedSum(const WeightedSumArgs& args) {
  for (size_t r = 0; r < args.y.size(); ++r) {
    for (int64_t i = 0; i < args.size; ++i) {
      double sum = args.y[r][i];
      for (size_t s = 0; s < args.x.size(); ++s) {
        sum += double{args.weights[r * args.weight_stride + s]} * args.x[s][i];
      }
      args.y[r][i] = static_cast<float>(sum);
    }
  }
}

void SoftmaxRowsWithLogSum(float* x, int rows, int columns, int64_t stride,
                           float* log_sum) {
  for (int r = 0; r < rows; ++r) {
    const float* row = x + r * stride;
    const double most = *std::max_element(row, row + columns);
    double sum = 0;
    for (int c = 0; c < columns; ++c) sum += std::exp(row[c] - most);
    log_sum[r] = static_cast<float>(most + std::log(sum));
  }
  SoftmaxRows(x, rows, columns, stride);
}

void RowDots(const float* a, int64_t stride, int rows, const float* b,
             int64_t size, float* out) {
  for (int r = 0; r < rows; ++r) {
    double sum = 0;
    for (int64_t i = 0; i < size; ++i) sum += double{a[r * stride + i]} * b[i];
    out[r] = static_cast<float>(sum);
  }
}

void BlendRows(const BlendRowsArgs& args) {
  for (int r = 0; r < args.rows; ++r) {
    for (int64_t i = 0; i < args.size; ++i) {
      float& value = args.context[r * args.context_stride + i];
      value = static_cast<float>((1.0 - args.share[r]) * value +
                                 double{args.share[r]} * args.scale[r] *
                                     args.other[r * args.size + i]);
    }
  }
}

void SoftmaxAttention(const SoftmaxAttentionArgs& args) {
  std::vector<double> weights(size_t(args.num_keys));
  for (int head = 0; head < args.num_heads; ++head) {
    const int first = head * args.head_dim;
    for (int q = 0; q < args.num_queries; ++q) {
      const float* query = args.queries + q * args.query_stride + first;
      for (int k = 0; k < args.num_keys; ++k) {
        const float* key = args.keys + k * args.key_stride + first;
        weights[size_t(k)] =
            args.scale *
            std::inner_product(key, key + args.head_dim, query, 0.0);
      }
      const double most = *std::max_element(weights.begin(), weights.end());
      double sum = 0;
      for (double& weight : weights) sum += weight = std::exp(weight - most);
      for (int i = 0; i < args.head_dim; ++i) {
        double value = 0;
        for (int k = 0; k < args.num_keys; ++k) {
          value +=
              weights[size_t(k)] * args.values[k * args.key_stride + first + i];
        }
        args.context[q * args.context_stride + first + i] =
            static_cast<float>(value / sum);
      }
      if (args.log_sums == nullptr) continue;
      args.log_sums[int64_t{head} * args.num_queries + q] =
          static_cast<float>(most + std::log(sum));
    }
  }
}

void Scores(const ScoresArgs& args) {
  for (size_t r = 0; r < args.queries.size(); ++r) {
    for (size_t s = 0; s < args.keys.size(); ++s) {
      double sum = 0;
      for (int64_t i = 0; i < args.size; ++i) {
        sum += double{args.queries[r][i]} * args.keys[s][i];
      }
      args.scores[int64_t(r) * args.score_stride + int64_t(s)] =
          static_cast<float>(args.factor * sum);
    }
  }
}

void ColumnScores(const ColumnScoresArgs& args) {
  for (size_t r = 0; r < args.queries.size(); ++r) {
    for (int64_t s = 0; s < args.slots; ++s) {
      double sum = 0;
      for (int64_t i = 0; i < args.size; ++i) {
        sum += double{args.queries[r][i]} * args.columns[i * args.stride + s];
      }
      args.scores[int64_t(r) * args.score_stride + s] =
          static_cast<float>(args.factor * sum);
    }
  }
}

int64_t IndicesAtLeast(const float* x, int begin, int end, float threshold,
                       int* out) {
  int64_t count = 0;
  for (int i = begin; i < end; ++i) {
    if (x[i] >= threshold) out[count++] = i;
  }
  return count;
}

}  // namespace longhand::reference
