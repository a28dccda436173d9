// NpyWriter: float32 rows as a NumPy .npy file, version 1.0, written as they
// come. Belongs to one thread.
#ifndef LONGHAND_CLIENT_CLI_NPY_WRITER_H_
#define LONGHAND_CLIENT_CLI_NPY_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "client/cli/file_output.h"

namespace longhand::client {

// 128 bytes: magic, version, and the dictionary for little-endian float32 in C
// order. The shape has one to four dimensions.
std::string NpyHeader(const std::vector<uint64_t>& shape);

class NpyWriter {
 public:
  // Borrows `output`. OUTPUT_NOT_SEEKABLE if it is no regular file.
  static absl::StatusOr<std::unique_ptr<NpyWriter>> Create(FileOutput* output);

  // Appends whole rows; all calls have the same width. DATA_LOSS (BAD_VECTOR)
  // if the values are not whole rows or the width is 0 or changes.
  absl::Status Append(absl::Span<const float> values, size_t width);

  // Writes the header. `shape`, if given, has as many values as were appended;
  // otherwise it is [rows, width].
  absl::Status Finish(const std::vector<uint64_t>& shape = {});

 private:
  explicit NpyWriter(FileOutput* output) : output_(output) {}

  FileOutput* const output_;
  uint64_t rows_ = 0;
  size_t width_ = 0;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_NPY_WRITER_H_
