#include "bench/quality/vector_cache.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/sha256.h"

namespace longhand::quality {
namespace {

// Little-endian machines only, like the rest of what is kept here: a cache
// does not travel. The file is a SHA-256 of the rest, then the documents.
constexpr uint64_t kMaxBytes = uint64_t{4} << 30;
constexpr size_t kDigestBytes = 64;

template <typename T>
void Put(const T* values, size_t count, std::string* out) {
  out->append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

// Takes values off the front; false if there are too few bytes.
template <typename T>
bool Take(std::string_view* in, size_t count, T* out) {
  if (in->size() / sizeof(T) < count) return false;
  std::memcpy(out, in->data(), count * sizeof(T));
  in->remove_prefix(count * sizeof(T));
  return true;
}

struct DocumentHeader {
  uint64_t chunks = 0;
  uint64_t values = 0;
  uint64_t encoded_tokens = 0;
};

bool TakeDocument(std::string_view* in, DocumentVectors* document) {
  DocumentHeader header;
  if (!Take(in, 1, &header) || header.chunks > in->size() ||
      header.values > in->size()) {
    return false;
  }
  document->encoded_tokens = header.encoded_tokens;
  document->spans.resize(header.chunks);
  document->vectors.resize(header.values);
  return Take(in, header.chunks, document->spans.data()) &&
         Take(in, header.values, document->vectors.data());
}

std::string HexDigestOf(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.HexDigest();
}

}  // namespace

std::string VectorCache::PathOf(std::string_view key) const {
  return absl::StrCat(directory_, "/", HexDigestOf(key).substr(0, 24),
                      ".vectors");
}

std::optional<std::vector<DocumentVectors>> VectorCache::Load(
    std::string_view key) const {
  const absl::StatusOr<std::string> file = ReadFile(PathOf(key), kMaxBytes);
  if (!file.ok() || file->size() < kDigestBytes) return std::nullopt;
  std::string_view rest = *file;
  const std::string_view digest = rest.substr(0, kDigestBytes);
  rest.remove_prefix(kDigestBytes);
  if (digest != HexDigestOf(rest)) return std::nullopt;
  std::vector<DocumentVectors> documents;
  while (!rest.empty()) {
    if (!TakeDocument(&rest, &documents.emplace_back())) return std::nullopt;
  }
  return documents;
}

absl::Status VectorCache::Store(
    std::string_view key, const std::vector<DocumentVectors>& documents) const {
  std::string bytes;
  for (const DocumentVectors& document : documents) {
    const DocumentHeader header = {document.spans.size(),
                                   document.vectors.size(),
                                   document.encoded_tokens};
    Put(&header, 1, &bytes);
    Put(document.spans.data(), document.spans.size(), &bytes);
    Put(document.vectors.data(), document.vectors.size(), &bytes);
  }
  const std::string path = PathOf(key);
  const std::string part = path + ".part";
  std::ofstream out(part, std::ios::binary);
  out << HexDigestOf(bytes) << bytes;
  out.close();
  std::error_code error;
  if (out) std::filesystem::rename(part, path, error);
  if (!out || error) {
    return MakeError(absl::StatusCode::kInternal, "FILE_UNWRITABLE",
                     absl::StrCat(path, " could not be written"));
  }
  return absl::OkStatus();
}

}  // namespace longhand::quality
