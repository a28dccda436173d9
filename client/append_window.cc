#include "client/append_window.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/client_error.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

constexpr size_t kSkipBytes = 256 << 10;

}  // namespace

AppendWindow::AppendWindow(ContentSource* source, uint64_t source_begin,
                           size_t unit, size_t buffer_bytes)
    : source_(source),
      source_begin_(source_begin),
      unit_(unit),
      buffer_bytes_(buffer_bytes),
      begin_(source_begin) {}

absl::Status AppendWindow::ReadMore(size_t count) {
  const size_t old_size = data_.size();
  // A source may give less than was asked for, and so a part of a unit.
  size_t size = old_size;
  data_.resize(old_size + std::max(count / unit_, size_t{1}) * unit_);
  do {
    const absl::StatusOr<size_t> read =
        source_->Read(absl::MakeSpan(data_.data() + size, data_.size() - size));
    if (!read.ok()) {
      data_.resize(old_size);
      return read.status();
    }
    source_ended_ = *read == 0;
    size += std::min(*read, data_.size() - size);
  } while (!source_ended_ && (size - old_size) % unit_ != 0);
  data_.resize(size);
  if ((size - old_size) % unit_ == 0) return absl::OkStatus();
  data_.resize(old_size);
  return MakeClientError(
      absl::StatusCode::kInvalidArgument, "INPUT_INVALID",
      absl::StrCat("the content does not end with a whole token id of ", unit_,
                   " bytes"));
}

absl::Status AppendWindow::SkipTo(uint64_t position) {
  data_.clear();
  uint64_t at = begin_;
  while (at < position) {
    LH_CLIENT_RETURN_IF_ERROR(ReadMore(
        static_cast<size_t>(std::min<uint64_t>(position - at, kSkipBytes))));
    at += data_.size();
    data_.clear();
    if (source_ended_ && at < position) {
      return MakeClientError(
          absl::StatusCode::kOutOfRange, "SOURCE_TOO_SHORT",
          absl::StrCat("the content has ", at - source_begin_,
                       " bytes, but the session has ", position - source_begin_,
                       " bytes from its place on: it is not the content that "
                       "the session was made from"),
          {{"source_bytes", absl::StrCat(at - source_begin_)},
           {"session_bytes", absl::StrCat(position - source_begin_)}});
    }
  }
  begin_ = position;
  return absl::OkStatus();
}

absl::Status AppendWindow::Fill(size_t count) { return ReadMore(count); }

absl::string_view AppendWindow::Peek(uint64_t position, size_t count) const {
  return absl::string_view(data_).substr(static_cast<size_t>(position - begin_),
                                         count);
}

absl::Status AppendWindow::GoBack(uint64_t position) {
  if (position >= begin_) return absl::OkStatus();
  if (position < source_begin_ || !source_->Rewind()) {
    return MakeClientError(
        absl::StatusCode::kDataLoss, "CONTENT_GONE",
        absl::StrCat("the session lost its content from position ", position,
                     " on, which is no longer at hand (that before ", begin_,
                     " is not kept): append it again from there, or ask for a "
                     "better durability"),
        {{"lost_from", absl::StrCat(position)},
         {"kept_from", absl::StrCat(begin_)}});
  }
  begin_ = source_begin_;
  source_ended_ = false;
  return SkipTo(position);
}

bool AppendWindow::Forget(uint64_t position) {
  if (data_.size() <= buffer_bytes_) return true;
  // Half of the buffer at once, so that little is moved in the long run.
  const uint64_t wanted = data_.size() - buffer_bytes_ / 2;
  const uint64_t allowed = position > begin_ ? position - begin_ : 0;
  const uint64_t count = std::min(wanted, allowed);
  data_.erase(0, static_cast<size_t>(count));
  begin_ += count;
  return data_.size() <= buffer_bytes_;
}

}  // namespace longhand::client
