// WeightScope: a name prefix inside a SafetensorsFile, which layers use to read
// their weights. All scopes made from one root share a record of what was read,
// so that the loader can refuse a file with tensors that nothing used. Cheap to
// copy; the file must outlive every copy. One thread at a time: loading is
// sequential.
#ifndef LONGHAND_CORE_WEIGHTS_WEIGHT_SCOPE_H_
#define LONGHAND_CORE_WEIGHTS_WEIGHT_SCOPE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/tensor/tensor.h"
#include "core/weights/safetensors.h"

namespace longhand {

class WeightScope {
 public:
  // The root scope: names are those of the file.
  explicit WeightScope(const SafetensorsFile* file);

  // The scope of `name` + "." below this one:
  // Scope("encoder").Scope("layer.0"). An empty name is this scope.
  WeightScope Scope(std::string_view name) const;

  // The full name of a tensor of this scope.
  std::string FullName(std::string_view name) const;

  // Whether the file has the tensor; does not count as reading it.
  bool Has(std::string_view name) const;

  // The shape that the file gives the tensor, or null; not a read either. For
  // sizes that only the weights know.
  const Shape* FindShape(std::string_view name) const;

  // The tensor, which must have exactly `shape`. INVALID_ARGUMENT
  // (WEIGHTS_INVALID) names the full tensor name, the expected and the found
  // shape.
  absl::StatusOr<TensorView> Required(std::string_view name,
                                      absl::Span<const int64_t> shape) const;

  // The tensor as floats: F32 copied, F16, BF16 and F64 converted.
  // INVALID_ARGUMENT (WEIGHTS_INVALID) as Required, for any other element type,
  // and for a value that is NaN or infinite (names the first index, row-major).
  absl::StatusOr<FloatBuffer> LoadF32(std::string_view name,
                                      absl::Span<const int64_t> shape) const;

  // Tensors of this scope whose names start with `name_prefix` need not be
  // read: buffers such as "embeddings.position_ids", heads of other tasks.
  void Ignore(std::string_view name_prefix) const;

  // About the whole file, whichever scope is asked; in file order.
  // Tensors that were neither read nor ignored.
  std::vector<std::string> UnreadTensors() const;
  // Tensors that were ignored and not read.
  std::vector<std::string> IgnoredTensors() const;
  // INVALID_ARGUMENT (WEIGHTS_INVALID) with the count and the first ten unread
  // tensors, if there are any.
  absl::Status CheckAllRead() const;
  // The element types of the float tensors read so far: "F32", "F16+F32";
  // empty before the first.
  std::string StoredPrecision() const;

 private:
  struct Record;

  WeightScope(std::shared_ptr<Record> record, std::string prefix);

  std::shared_ptr<Record> record_;
  std::string prefix_;  // empty, or ends in "."
};

}  // namespace longhand

#endif  // LONGHAND_CORE_WEIGHTS_WEIGHT_SCOPE_H_
