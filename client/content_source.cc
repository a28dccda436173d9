#include "client/content_source.h"

#include <algorithm>
#include <ios>

#include "client/client_error.h"

namespace longhand::client {

absl::StatusOr<size_t> StringSource::Read(absl::Span<char> buffer) {
  const size_t count = text_.copy(buffer.data(), buffer.size(), position_);
  position_ += count;
  return count;
}

bool StringSource::Rewind() {
  position_ = 0;
  return true;
}

IstreamSource::IstreamSource(std::istream* stream)
    : stream_(stream), begin_(stream->tellg()) {
  // A failed tellg marks the stream as bad, though reading from it may work.
  if (begin_ == std::istream::pos_type(-1)) stream_->clear();
}

absl::StatusOr<size_t> IstreamSource::Read(absl::Span<char> buffer) {
  stream_->read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
  if (stream_->bad()) {
    return MakeClientError(absl::StatusCode::kDataLoss, "INPUT_READ_FAILED",
                           "the input stream failed while it was read");
  }
  return static_cast<size_t>(stream_->gcount());
}

bool IstreamSource::Rewind() {
  if (begin_ == std::istream::pos_type(-1)) return false;
  stream_->clear();
  stream_->seekg(begin_);
  return stream_->good();
}

}  // namespace longhand::client
