// The matrices of a state by their best approximation of a given rank
// (truncated singular value decomposition; Eckart and Young 1936): A [m, n] as
// (A W) W^T with W [n, rank] the eigenvectors of A^T A with the largest
// eigenvalues. Vectors, and matrices that this would not make smaller, stay as
// they are.

#include <algorithm>

#include "Eigen/Eigenvalues"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/state/state_codec.h"

namespace longhand {
namespace {

using Matrix =
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Part = StateLayout::Part;

class LowRankCodec final : public StateCodec {
 public:
  explicit LowRankCodec(int rank) : rank_(rank) {}

  int64_t HeadBytes(const StateLayout& layout) const override {
    int64_t floats = 0;
    for (const Part& part : layout.parts) floats += PackedFloats(part);
    return floats * int64_t{sizeof(float)};
  }

  void Encode(const StateLayout& layout, const float* block,
              std::byte* packed) const override {
    auto* out = reinterpret_cast<float*>(packed);
    for (const Part& part : layout.parts) {
      if (IsReduced(part)) {
        Reduce(part, block, out);
      } else {
        std::copy_n(block, part.floats(), out);
      }
      block += part.floats();
      out += PackedFloats(part);
    }
  }

  void Decode(const StateLayout& layout, const std::byte* packed,
              float* block) const override {
    const auto* in = reinterpret_cast<const float*>(packed);
    for (const Part& part : layout.parts) {
      if (IsReduced(part)) {
        Eigen::Map<const Matrix> left(in, part.rows, rank_);
        Eigen::Map<const Matrix> right(in + part.rows * rank_, rank_,
                                       part.columns);
        Eigen::Map<Matrix>(block, part.rows, part.columns).noalias() =
            left * right;
      } else {
        std::copy_n(in, part.floats(), block);
      }
      block += part.floats();
      in += PackedFloats(part);
    }
  }

 private:
  bool IsReduced(const Part& part) const {
    return rank_ * (part.rows + part.columns) < part.floats();
  }
  int64_t PackedFloats(const Part& part) const {
    return IsReduced(part) ? rank_ * (part.rows + part.columns) : part.floats();
  }

  void Reduce(const Part& part, const float* block, float* out) const {
    Eigen::Map<const Matrix> full(block, part.rows, part.columns);
    const Matrix gram = full.transpose() * full;
    // Eigenvalues come in ascending order.
    const Eigen::SelfAdjointEigenSolver<Matrix> solver(gram);
    const Matrix basis = solver.eigenvectors().rightCols(rank_);
    Eigen::Map<Matrix>(out, part.rows, rank_).noalias() = full * basis;
    Eigen::Map<Matrix>(out + part.rows * rank_, rank_, part.columns) =
        basis.transpose();
  }

  const int64_t rank_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const StateCodec>> MakeLowRankStateCodec(
    const StateCodecOptions& options) {
  if (options.rank < 1) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "STATE_RANK",
        absl::StrCat("state_rank is ", options.rank, "; give at least 1"));
  }
  return std::make_unique<const LowRankCodec>(options.rank);
}

}  // namespace longhand
