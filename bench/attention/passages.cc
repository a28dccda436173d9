#include "bench/attention/passages.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace longhand::attention {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{4} << 30;

absl::Status Invalid(const std::string& what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "PASSAGES_INVALID",
                   what);
}

double Cosine(const float* a, const float* b, int size) {
  double ab = 0, aa = 0, bb = 0;
  for (int i = 0; i < size; ++i) {
    ab += double(a[i]) * b[i];
    aa += double(a[i]) * a[i];
    bb += double(b[i]) * b[i];
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

}  // namespace

std::vector<ByteSpan> PassagesOf(uint64_t document_bytes) {
  std::vector<ByteSpan> passages;
  for (uint64_t begin = 0; begin < document_bytes; begin += kPassageBytes) {
    passages.push_back(
        {begin, std::min(begin + kPassageBytes, document_bytes)});
  }
  return passages;
}

absl::Status WritePassages(const std::string& path, const Passages& passages) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&passages.size),
            sizeof(passages.size));
  out.write(
      reinterpret_cast<const char*>(passages.vectors.data()),
      static_cast<std::streamsize>(passages.vectors.size() * sizeof(float)));
  out.close();
  if (out) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInternal, "FILE_UNWRITABLE",
                   absl::StrCat("cannot write ", path));
}

absl::StatusOr<Passages> ReadPassages(const std::string& path) {
  LH_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kMaxFileBytes));
  Passages passages;
  if (bytes.size() < sizeof(passages.size)) {
    return Invalid(absl::StrCat(path, " is cut short"));
  }
  std::memcpy(&passages.size, bytes.data(), sizeof(passages.size));
  const size_t rest = bytes.size() - sizeof(passages.size);
  if (passages.size < 1 ||
      rest % (size_t(passages.size) * sizeof(float)) != 0) {
    return Invalid(absl::StrCat(path, " does not hold passages"));
  }
  passages.vectors.resize(rest / sizeof(float));
  std::memcpy(passages.vectors.data(), bytes.data() + sizeof(passages.size),
              rest);
  return passages;
}

absl::StatusOr<Agreement> Compare(const Passages& a, const Passages& b) {
  if (a.size != b.size || a.count() != b.count() || a.count() == 0) {
    return Invalid(absl::StrCat(a.count(), " passages of ", a.size,
                                " numbers against ", b.count(), " of ", b.size,
                                " are not of one document and model"));
  }
  Agreement agreement{.mean_cosine = 0, .min_cosine = 1};
  for (int64_t i = 0; i < a.count(); ++i) {
    const double cosine = Cosine(a.vectors.data() + i * a.size,
                                 b.vectors.data() + i * b.size, a.size);
    agreement.mean_cosine += cosine / double(a.count());
    agreement.min_cosine = std::min(agreement.min_cosine, cosine);
  }
  return agreement;
}

}  // namespace longhand::attention
