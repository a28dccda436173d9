#include "client/cli/npy_writer.h"

#include <bit>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "client/client_error.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// Room for any shape; NumPy wants a multiple of 64.
constexpr size_t kHeaderBytes = 128;
// Magic, two bytes of version, two of the dictionary's length.
constexpr size_t kPreambleBytes = 10;

}  // namespace

std::string NpyHeader(const std::vector<uint64_t>& shape) {
  // A tuple of one keeps its comma.
  const std::string dimensions =
      absl::StrCat(absl::StrJoin(shape, ", "), shape.size() == 1 ? "," : "");
  std::string header = absl::StrCat(
      absl::string_view("\x93NUMPY\x01\x00", 8),
      std::string{static_cast<char>(kHeaderBytes - kPreambleBytes), '\0'},
      "{'descr': '<f4', 'fortran_order': False, 'shape': (", dimensions,
      "), }");
  header.resize(kHeaderBytes - 1, ' ');
  header += '\n';
  return header;
}

absl::StatusOr<std::unique_ptr<NpyWriter>> NpyWriter::Create(
    FileOutput* output) {
  if (!output->can_patch()) {
    return MakeClientError(absl::StatusCode::kInvalidArgument,
                           "OUTPUT_NOT_SEEKABLE",
                           "npy output needs a regular file: use -o FILE");
  }
  // Replaced when the number of rows is known.
  LH_CLIENT_RETURN_IF_ERROR(output->Write(std::string(kHeaderBytes, ' ')));
  return std::unique_ptr<NpyWriter>(new NpyWriter(output));
}

absl::Status NpyWriter::Append(absl::Span<const float> values, size_t width) {
  if (width == 0 || values.size() % width != 0 ||
      (width_ != 0 && width_ != width)) {
    return MakeClientError(absl::StatusCode::kDataLoss, "BAD_VECTOR",
                           "the server left out vectors or sent vectors of "
                           "different lengths");
  }
  width_ = width;
  rows_ += values.size() / width;
  std::string bytes;
  bytes.reserve(values.size() * sizeof(float));
  for (const float value : values) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) {
      bytes += static_cast<char>(bits >> shift & 0xFF);
    }
  }
  return output_->Write(bytes);
}

absl::Status NpyWriter::Finish(const std::vector<uint64_t>& shape) {
  return output_->PatchFront(
      NpyHeader(shape.empty() ? std::vector<uint64_t>{rows_, width_} : shape));
}

}  // namespace longhand::client
