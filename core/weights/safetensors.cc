#include "core/weights/safetensors.h"

#include <sys/mman.h>

#include <bit>
#include <cerrno>
#include <limits>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/strings.h"

namespace longhand {

static_assert(std::endian::native == std::endian::little,
              "safetensors data are little-endian and used as they are");

namespace {

absl::Status WeightsInvalid(const std::string& path, std::string_view problem) {
  return MakeError(absl::StatusCode::kInvalidArgument, "WEIGHTS_INVALID",
                   absl::StrCat(path, ": ", ToAbsl(problem)), {{"path", path}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<const SafetensorsFile>> SafetensorsFile::Open(
    const std::string& path) {
  absl::StatusOr<RegularFile> opened = OpenRegularFile(path);
  if (!opened.ok()) {
    return WithContext(opened.status(),
                       absl::IsNotFound(opened.status()) ? "WEIGHTS_MISSING"
                                                         : "WEIGHTS_INVALID",
                       "weights");
  }
  if (opened->size_bytes == 0) {
    return WeightsInvalid(path, "the file is empty; download it again");
  }
  if (opened->size_bytes > std::numeric_limits<ptrdiff_t>::max()) {
    return WeightsInvalid(path, "the file is too large for this machine");
  }
  const auto size = static_cast<size_t>(opened->size_bytes);
  void* mapping =
      mmap(nullptr, size, PROT_READ, MAP_PRIVATE, opened->fd.get(), 0);
  if (mapping == MAP_FAILED) {
    return WeightsInvalid(
        path, absl::StrCat("cannot be mapped into memory (",
                           std::generic_category().message(errno), ")"));
  }
  // Owned from here on. The constructor is private to std::make_unique.
  std::unique_ptr<SafetensorsFile> file(
      new SafetensorsFile(path, mapping, size));
  absl::StatusOr<SafetensorsHeader> header =
      ParseSafetensorsHeader(file->bytes());
  if (!header.ok()) {
    return WeightsInvalid(path, ToStd(header.status().message()));
  }
  file->metadata_ = std::move(header->metadata);
  for (SafetensorsEntry& entry : header->entries) {
    file->tensors_.emplace(
        entry.name, TensorView{file->bytes().data() + entry.begin, entry.dtype,
                               std::move(entry.shape)});
    file->names_.push_back(std::move(entry.name));
  }
  return file;
}

SafetensorsFile::~SafetensorsFile() { munmap(mapping_, size_); }

const TensorView* SafetensorsFile::Find(std::string_view name) const {
  const auto tensor = tensors_.find(ToAbsl(name));
  return tensor == tensors_.end() ? nullptr : &tensor->second;
}

void SafetensorsFile::DropPages() const {
  // Advice only: a private read-only mapping loses nothing.
  (void)madvise(mapping_, size_, MADV_DONTNEED);
}

}  // namespace longhand
