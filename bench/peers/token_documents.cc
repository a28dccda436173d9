#include "bench/peers/token_documents.h"

#include <bit>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace longhand::peers {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;

absl::Status Invalid(std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "DOCUMENTS_INVALID",
                   what);
}

// Takes `count` values from the front of `bytes`. REQUIRES: they are there.
template <typename T>
std::vector<T> TakeValues(size_t count, std::string_view* bytes) {
  std::vector<T> values(count);
  std::memcpy(values.data(), bytes->data(), count * sizeof(T));
  bytes->remove_prefix(count * sizeof(T));
  return values;
}

template <typename T>
void AppendValues(absl::Span<const T> values, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(values.data()),
                values.size() * sizeof(T));
}

absl::Status WriteFile(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), std::streamsize(bytes.size()));
  file.close();
  if (file) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInternal, "FILE_UNWRITABLE",
                   absl::StrCat("could not write ", path));
}

}  // namespace

absl::StatusOr<TokenDocuments> ParseDocuments(std::string_view bytes) {
  if (bytes.size() < sizeof(int64_t)) return Invalid("too short for a count");
  const int64_t count = TakeValues<int64_t>(1, &bytes)[0];
  if (count < 0 || uint64_t(count) > bytes.size() / sizeof(int64_t)) {
    return Invalid(absl::StrCat("too short for ", count, " documents"));
  }
  const auto ends = TakeValues<int64_t>(size_t(count), &bytes);
  TokenDocuments documents;
  int64_t begin = 0;
  for (const int64_t end : ends) {
    if (end <= begin || uint64_t(end - begin) > bytes.size() / 4) {
      return Invalid(absl::StrCat("document ", documents.size() + 1, " of ",
                                  count, " is empty or not all there"));
    }
    documents.push_back(TakeValues<int32_t>(size_t(end - begin), &bytes));
    begin = end;
  }
  if (!bytes.empty()) return Invalid("longer than its documents");
  return documents;
}

std::string FormatDocuments(const TokenDocuments& documents) {
  std::vector<int64_t> header = {int64_t(documents.size())};
  int64_t end = 0;
  for (const auto& ids : documents) {
    header.push_back(end += int64_t(ids.size()));
  }
  std::string bytes;
  AppendValues<int64_t>(header, &bytes);
  for (const auto& ids : documents) AppendValues<int32_t>(ids, &bytes);
  return bytes;
}

absl::StatusOr<TokenDocuments> ReadDocuments(const std::string& path) {
  LH_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kMaxFileBytes));
  absl::StatusOr<TokenDocuments> documents = ParseDocuments(bytes);
  if (!documents.ok()) {
    return WithContext(documents.status(), "DOCUMENTS_INVALID", path);
  }
  return documents;
}

absl::Status WriteDocuments(const std::string& path,
                            const TokenDocuments& documents) {
  return WriteFile(path, FormatDocuments(documents));
}

absl::Status WriteVectors(const std::string& path,
                          absl::Span<const float> vectors) {
  std::string bytes;
  AppendValues<float>(vectors, &bytes);
  return WriteFile(path, bytes);
}

}  // namespace longhand::peers
