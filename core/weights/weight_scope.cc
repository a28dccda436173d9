#include "core/weights/weight_scope.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace longhand {
namespace {

absl::Status Invalid(const SafetensorsFile& file, const std::string& name,
                     std::string_view problem) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, "WEIGHTS_INVALID",
      absl::StrCat(file.path(), ": tensor \"", name, "\" ", ToAbsl(problem)),
      {{"path", file.path()}, {"tensor", name}});
}

// Reads element i of a possibly unaligned array.
template <typename T>
T ElementAt(const void* data, size_t i) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + i * sizeof(T),
              sizeof(T));
  return value;
}

// REQUIRES: IsFloat(tensor.dtype).
FloatBuffer ConvertToFloat(const TensorView& tensor) {
  const auto size = static_cast<size_t>(tensor.num_elements());
  FloatBuffer floats = FloatBuffer::Uninitialized(size);
  if (size == 0) return floats;
  float* out = floats.data();
  if (tensor.dtype == DType::kF32) {
    std::memcpy(out, tensor.data, floats.byte_size());
  } else if (tensor.dtype == DType::kF64) {
    for (size_t i = 0; i < size; ++i) {
      out[i] = static_cast<float>(ElementAt<double>(tensor.data, i));
    }
  } else if (tensor.dtype == DType::kBF16) {
    for (size_t i = 0; i < size; ++i) {
      out[i] = Bf16ToFloat(ElementAt<uint16_t>(tensor.data, i));
    }
  } else {
    for (size_t i = 0; i < size; ++i) {
      out[i] = F16ToFloat(ElementAt<uint16_t>(tensor.data, i));
    }
  }
  return floats;
}

// Index of the first NaN or infinity, or size. Looks at the bits, so that
// -ffast-math could not remove it.
size_t FindNonFinite(absl::Span<const float> values) {
  constexpr uint32_t kExponent = 0x7f800000u;
  const auto first =
      std::find_if(values.begin(), values.end(), [](const float& value) {
        return (std::bit_cast<uint32_t>(value) & kExponent) == kExponent;
      });
  return static_cast<size_t>(first - values.begin());
}

}  // namespace

struct WeightScope::Record {
  const SafetensorsFile* file;
  absl::flat_hash_set<std::string> read;
  std::vector<std::string> ignored_prefixes;
  std::set<std::string_view> float_types;

  bool IsIgnored(std::string_view name) const {
    return std::any_of(ignored_prefixes.begin(), ignored_prefixes.end(),
                       [&](const std::string& prefix) {
                         return absl::StartsWith(ToAbsl(name), prefix);
                       });
  }
};

WeightScope::WeightScope(const SafetensorsFile* file)
    : record_(std::make_shared<Record>(Record{file, {}, {}, {}})) {}

WeightScope::WeightScope(std::shared_ptr<Record> record, std::string prefix)
    : record_(std::move(record)), prefix_(std::move(prefix)) {}

WeightScope WeightScope::Scope(std::string_view name) const {
  return WeightScope(record_, name.empty()
                                  ? prefix_
                                  : absl::StrCat(prefix_, ToAbsl(name), "."));
}

std::string WeightScope::FullName(std::string_view name) const {
  return absl::StrCat(prefix_, ToAbsl(name));
}

bool WeightScope::Has(std::string_view name) const {
  return record_->file->Find(FullName(name)) != nullptr;
}

const Shape* WeightScope::FindShape(std::string_view name) const {
  const TensorView* tensor = record_->file->Find(FullName(name));
  return tensor == nullptr ? nullptr : &tensor->shape;
}

absl::StatusOr<TensorView> WeightScope::Required(
    std::string_view name, absl::Span<const int64_t> shape) const {
  const std::string full_name = FullName(name);
  const TensorView* tensor = record_->file->Find(full_name);
  if (tensor == nullptr) {
    return Invalid(*record_->file, full_name,
                   absl::StrCat("of shape ", ShapeToString(shape),
                                " is missing; check that the weights belong "
                                "to this config.json"));
  }
  if (absl::MakeConstSpan(tensor->shape) != shape) {
    return Invalid(*record_->file, full_name,
                   absl::StrCat("must have shape ", ShapeToString(shape),
                                " but has ", ShapeToString(tensor->shape),
                                "; check that the weights belong to this "
                                "config.json"));
  }
  if (IsFloat(tensor->dtype)) {
    record_->float_types.insert(DTypeName(tensor->dtype));
  }
  record_->read.insert(full_name);
  return *tensor;
}

absl::StatusOr<FloatBuffer> WeightScope::LoadF32(
    std::string_view name, absl::Span<const int64_t> shape) const {
  LH_ASSIGN_OR_RETURN(const TensorView tensor, Required(name, shape));
  if (!IsFloat(tensor.dtype)) {
    return Invalid(
        *record_->file, FullName(name),
        absl::StrCat("has element type ", ToAbsl(DTypeName(tensor.dtype)),
                     "; F32, F16, BF16 and F64 can be loaded"));
  }
  FloatBuffer floats = ConvertToFloat(tensor);
  const size_t bad = FindNonFinite(floats.span());
  if (bad < floats.size()) {
    return Invalid(*record_->file, FullName(name),
                   absl::StrCat("holds ", floats[bad], " at index ", bad,
                                "; the weights are damaged or do not fit "
                                "into 32-bit floats: download them again"));
  }
  return floats;
}

void WeightScope::Ignore(std::string_view name_prefix) const {
  record_->ignored_prefixes.push_back(FullName(name_prefix));
}

std::vector<std::string> WeightScope::UnreadTensors() const {
  std::vector<std::string> names;
  for (const std::string& name : record_->file->names()) {
    if (!record_->read.contains(name) && !record_->IsIgnored(name)) {
      names.push_back(name);
    }
  }
  return names;
}

std::vector<std::string> WeightScope::IgnoredTensors() const {
  std::vector<std::string> names;
  for (const std::string& name : record_->file->names()) {
    if (!record_->read.contains(name) && record_->IsIgnored(name)) {
      names.push_back(name);
    }
  }
  return names;
}

absl::Status WeightScope::CheckAllRead() const {
  constexpr size_t kMaxShown = 10;
  const std::vector<std::string> unread = UnreadTensors();
  if (unread.empty()) return absl::OkStatus();
  const size_t shown = std::min(unread.size(), kMaxShown);
  return MakeError(
      absl::StatusCode::kInvalidArgument, "WEIGHTS_INVALID",
      absl::StrCat(record_->file->path(), ": ", unread.size(),
                   unread.size() == 1 ? " tensor has" : " tensors have",
                   " no place in this model: ",
                   absl::StrJoin(unread.begin(), unread.begin() + shown, ", "),
                   shown < unread.size() ? ", ..." : "",
                   "; check that the weights belong to this config.json"),
      {{"path", record_->file->path()},
       {"unread_tensors", absl::StrCat(unread.size())}});
}

std::string WeightScope::StoredPrecision() const {
  return absl::StrJoin(
      record_->float_types, "+",
      [](std::string* out, std::string_view name) { out->append(name); });
}

}  // namespace longhand
