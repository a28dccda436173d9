// The header half of core/weights/safetensors.h: bytes to checked entries.
#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/weights/safetensors.h"

namespace longhand {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr char kMetadataKey[] = "__metadata__";

// Document, tensor, shape.
constexpr int kMaxHeaderDepth = 3;

// Enough for kMaxSafetensorsTensors tensors of kMaxRank (15 values each) and as
// much metadata again.
constexpr size_t kMaxHeaderValues = 2'000'000;

absl::Status Invalid(std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "WEIGHTS_INVALID",
                   message);
}

absl::Status InvalidTensor(std::string_view name, std::string_view problem) {
  constexpr size_t kMaxShownBytes = 200;
  return Invalid(absl::StrCat(
      "tensor \"",
      absl::Utf8SafeCHexEscape(ToAbsl(name.substr(0, kMaxShownBytes))), "\": ",
      ToAbsl(problem), "; write the file again with the safetensors library"));
}

// The format whose files begin with `magic`, at `offset`.
struct ForeignFormat {
  size_t offset;
  std::string_view magic;
  std::string_view advice;
};

constexpr std::string_view kConvert =
    "; only safetensors files are read: convert it with the safetensors "
    "library";
constexpr ForeignFormat kForeignFormats[] = {
    {0, "PK\x03\x04", "a zip archive (.zip, .npz, or PyTorch .pt/.bin)"},
    {0, "PK\x05\x06", "a zip archive (.zip, .npz, or PyTorch .pt/.bin)"},
    {0, "\x80\x02", "a Python pickle (PyTorch .pt/.bin), which could run code"},
    {0, "\x80\x03", "a Python pickle (.pkl), which could run code"},
    {0, "\x80\x04", "a Python pickle (.pkl), which could run code"},
    {0, "\x80\x05", "a Python pickle (.pkl), which could run code"},
    {0, "\x93NUMPY", "a NumPy array (.npy)"},
    {0, "GGUF", "a GGUF file"},
    {0, "\x89HDF", "an HDF5 file (.h5)"},
    {0, "\x1F\x8B", "a gzip archive"},
    {257, "ustar", "a tar archive"},
};
constexpr ForeignFormat kNotWeights[] = {
    {0, "version https://git-lfs",
     "a Git LFS pointer, not the weights; fetch the file itself with git lfs "
     "pull"},
    {0, "<",
     "an HTML or XML page, such as the error page of a download; "
     "download the file again"},
    {0, "{",
     "plain JSON, perhaps an index of several weight files; name the "
     ".safetensors file itself"},
};

bool HasMagic(absl::Span<const uint8_t> file, const ForeignFormat& format) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()),
                              file.size());
  return text.size() >= format.offset &&
         text.substr(format.offset, format.magic.size()) == format.magic;
}

// The error for a file whose first bytes cannot be those of safetensors: says
// what the file is, if its magic bytes tell, else `problem`. Asked only after a
// rule was broken, because a header length may look like a magic number.
absl::Status NotSafetensors(absl::Span<const uint8_t> file,
                            std::string_view problem) {
  for (const ForeignFormat& format : kForeignFormats) {
    if (HasMagic(file, format)) {
      return Invalid(
          absl::StrCat("is ", ToAbsl(format.advice), ToAbsl(kConvert)));
    }
  }
  for (const ForeignFormat& format : kNotWeights) {
    if (HasMagic(file, format)) {
      return Invalid(absl::StrCat("is ", ToAbsl(format.advice)));
    }
  }
  return Invalid(problem);
}

// The JSON text of the header.
absl::StatusOr<std::string_view> FindHeaderText(
    absl::Span<const uint8_t> file) {
  if (file.empty()) return Invalid("the file is empty; download it again");
  if (file.size() < kLengthBytes) {
    return NotSafetensors(
        file, absl::StrCat("the file has only ", file.size(),
                           " bytes, less than the 8 of the header length; "
                           "download it again"));
  }
  uint64_t length = 0;
  for (uint64_t i = 0; i < kLengthBytes; ++i) {
    length |= uint64_t{file[i]} << (8 * i);
  }
  if (length > kMaxSafetensorsHeaderBytes) {
    return NotSafetensors(
        file, absl::StrCat("the header length is ", length, ", more than ",
                           kMaxSafetensorsHeaderBytes,
                           " bytes; this is not a safetensors file"));
  }
  if (length > file.size() - kLengthBytes) {
    return NotSafetensors(file,
                          absl::StrCat("the header is ", length,
                                       " bytes long but the file ends after ",
                                       file.size() - kLengthBytes,
                                       " of them; download it again"));
  }
  const std::string_view text(
      reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  if (text.empty() || text[0] != '{') {
    return NotSafetensors(file,
                          "the header does not start with '{'; this is not a "
                          "safetensors file");
  }
  return text;
}

absl::StatusOr<std::map<std::string, std::string>> ReadMetadata(
    const Json& json) {
  if (!json.is_object()) {
    return Invalid(
        absl::StrCat("\"", kMetadataKey, "\" must be an object of strings"));
  }
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) {
      return Invalid(absl::StrCat("\"", kMetadataKey, "\": the value of \"",
                                  absl::Utf8SafeCHexEscape(key.substr(0, 100)),
                                  "\" must be a string"));
    }
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

// The dimensions of `json`, each at most INT64_MAX.
absl::StatusOr<Shape> ReadShape(const std::string& name, const Json& json) {
  if (!json.is_array()) {
    return InvalidTensor(name, "\"shape\" must be an array of integers");
  }
  if (json.size() > kMaxRank) {
    return InvalidTensor(
        name, absl::StrCat("it has ", json.size(), " dimensions, more than ",
                           kMaxRank));
  }
  Shape shape;
  for (const Json& dimension : json) {
    if (!dimension.is_number_unsigned() ||
        dimension.get<uint64_t>() >
            static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return InvalidTensor(
          name,
          "every dimension in \"shape\" must be an integer of at least "
          "0 and less than 2^63");
    }
    shape.push_back(dimension.get<int64_t>());
  }
  return shape;
}

// Sets begin and end, both relative to the data, from "data_offsets".
absl::Status ReadOffsets(const Json& json, SafetensorsEntry* entry) {
  if (!json.is_array() || json.size() != 2 || !json[0].is_number_unsigned() ||
      !json[1].is_number_unsigned()) {
    return InvalidTensor(entry->name,
                         "\"data_offsets\" must be two integers of at least 0");
  }
  entry->begin = json[0].get<uint64_t>();
  entry->end = json[1].get<uint64_t>();
  if (entry->begin > entry->end) {
    return InvalidTensor(
        entry->name, absl::StrCat("\"data_offsets\" begin at ", entry->begin,
                                  " but end before it, at ", entry->end));
  }
  return absl::OkStatus();
}

// Bytes of the entry's type and shape. Partial products count too, so that no
// later user of the shape can overflow: [2^62, 4, 0] is refused.
absl::StatusOr<uint64_t> ByteSize(const SafetensorsEntry& entry) {
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  bool fits = true;
  CheckedSize size = 1;
  for (int64_t dimension : entry.shape) {
    size *= static_cast<uint64_t>(dimension);
    fits = fits && size.ok() && size.value() <= kMax;
  }
  size *= static_cast<uint64_t>(DTypeSize(entry.dtype));
  if (!fits || !size.ok() || size.value() > kMax) {
    return InvalidTensor(
        entry.name, absl::StrCat("the size of shape ",
                                 ShapeToString(entry.shape), " overflows"));
  }
  return size.value();
}

// One tensor; offsets relative to the data.
absl::StatusOr<SafetensorsEntry> ReadEntry(const std::string& name,
                                           const Json& json) {
  if (name.empty() || name.size() > kMaxSafetensorsNameBytes) {
    return InvalidTensor(
        name, absl::StrCat("the name has ", name.size(), " bytes; 1 to ",
                           kMaxSafetensorsNameBytes, " are allowed"));
  }
  if (!json.is_object() || json.size() != 3 || !json.contains("dtype") ||
      !json.contains("shape") || !json.contains("data_offsets")) {
    return InvalidTensor(
        name,
        "it must have exactly the keys \"dtype\", \"shape\" and "
        "\"data_offsets\"");
  }
  SafetensorsEntry entry;
  entry.name = name;
  const Json& dtype = json["dtype"];
  const std::optional<DType> known =
      dtype.is_string() ? DTypeFromName(dtype.get_ref<const std::string&>())
                        : std::nullopt;
  if (!known) {
    return InvalidTensor(name,
                         "\"dtype\" is not one of the element types "
                         "that are read (F32, F16, BF16, I64, ...)");
  }
  entry.dtype = *known;
  LH_ASSIGN_OR_RETURN(entry.shape, ReadShape(name, json["shape"]));
  LH_RETURN_IF_ERROR(ReadOffsets(json["data_offsets"], &entry));

  LH_ASSIGN_OR_RETURN(const uint64_t bytes, ByteSize(entry));
  if (bytes != entry.end - entry.begin) {
    return InvalidTensor(
        name, absl::StrCat("\"data_offsets\" span ", entry.end - entry.begin,
                           " bytes but ", ToAbsl(DTypeName(entry.dtype)),
                           " of shape ", ShapeToString(entry.shape), " needs ",
                           bytes));
  }
  return entry;
}

// Checks that the entries, sorted here, cover [0, data_bytes) exactly, and
// makes their offsets relative to the file.
absl::Status CheckLayout(uint64_t data_begin, uint64_t data_bytes,
                         std::vector<SafetensorsEntry>* entries) {
  std::sort(entries->begin(), entries->end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              return std::tie(a.begin, a.end, a.name) <
                     std::tie(b.begin, b.end, b.name);
            });
  uint64_t position = 0;
  for (const SafetensorsEntry& entry : *entries) {
    if (entry.begin != position) {
      return InvalidTensor(
          entry.name, absl::StrCat("its data begin at ", entry.begin,
                                   entry.begin > position
                                       ? ", which leaves a hole after "
                                       : ", which overlaps the data up to ",
                                   position));
    }
    position = entry.end;
  }
  if (position != data_bytes) {
    return Invalid(absl::StrCat(
        "the header describes ", position, " bytes of data but the file has ",
        data_bytes,
        position > data_bytes
            ? "; the file is shorter than its header says: download it again"
            : "; the file is longer than its header says: download it again"));
  }
  for (SafetensorsEntry& entry : *entries) {
    entry.begin += data_begin;
    entry.end += data_begin;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(
    absl::Span<const uint8_t> file) {
  LH_ASSIGN_OR_RETURN(const std::string_view text, FindHeaderText(file));
  absl::StatusOr<Json> json =
      ParseJson(text, {.max_bytes = kMaxSafetensorsHeaderBytes,
                       .max_depth = kMaxHeaderDepth,
                       .max_values = kMaxHeaderValues});
  if (!json.ok()) {
    return WithContext(json.status(), "WEIGHTS_INVALID",
                       "the header cannot be used (download the file again, or "
                       "write it with the safetensors library)");
  }
  SafetensorsHeader header;
  if (json->size() > kMaxSafetensorsTensors + json->count(kMetadataKey)) {
    return Invalid(absl::StrCat("the header names ", json->size(),
                                " tensors; at most ", kMaxSafetensorsTensors,
                                " are read"));
  }
  for (const auto& [name, value] : json->items()) {
    if (name == kMetadataKey) {
      LH_ASSIGN_OR_RETURN(header.metadata, ReadMetadata(value));
      continue;
    }
    LH_ASSIGN_OR_RETURN(SafetensorsEntry entry, ReadEntry(name, value));
    header.entries.push_back(std::move(entry));
  }
  const uint64_t data_begin = kLengthBytes + text.size();
  LH_RETURN_IF_ERROR(
      CheckLayout(data_begin, file.size() - data_begin, &header.entries));
  return header;
}

}  // namespace longhand
