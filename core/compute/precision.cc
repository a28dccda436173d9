#include "core/compute/precision.h"

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/compute/onednn.h"

namespace longhand {

std::string_view PrecisionName(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return "fp32";
    case Precision::kBf16:
      return "bf16";
    case Precision::kInt8:
      return "int8";
  }
  LH_CHECK(false);
}

absl::StatusOr<Precision> PrecisionFromName(std::string_view name) {
  for (Precision precision : kAllPrecisions) {
    if (name == PrecisionName(precision)) return precision;
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "PRECISION_UNSUPPORTED",
                   absl::StrCat("the precision \"", ToAbsl(name),
                                "\" is not supported; use fp32, bf16 or int8"));
}

Precision EffectivePrecision(Precision requested) {
  if (requested == Precision::kBf16 &&
      !onednn::CpuHas(dnnl::cpu_isa::avx512_core_bf16)) {
    return Precision::kFp32;
  }
  return requested;
}

Int8Sums CpuInt8Sums() {
  return onednn::CpuHas(dnnl::cpu_isa::avx512_core_vnni) ? Int8Sums::kWide
                                                         : Int8Sums::kPairs;
}

}  // namespace longhand
