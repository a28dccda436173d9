// AppendWindow: the part of an append's content that is at hand for sending, or
// for sending again. Internal to the client library. Belongs to one thread.
// Positions are bytes from the document's first one, with four of them a token
// where the content is token ids.
#ifndef LONGHAND_CLIENT_APPEND_WINDOW_H_
#define LONGHAND_CLIENT_APPEND_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/content_source.h"

namespace longhand::client {

class AppendWindow {
 public:
  // `source` begins at `source_begin` and is borrowed; content comes in
  // multiples of `unit` bytes. Beyond `buffer_bytes` content is forgotten, once
  // that is allowed.
  AppendWindow(ContentSource* source, uint64_t source_begin, size_t unit,
               size_t buffer_bytes);

  // Reads the source up to `position` and keeps nothing of it. OUT_OF_RANGE
  // (SOURCE_TOO_SHORT) if the source ends before. REQUIRES: position >= end().
  absl::Status SkipTo(uint64_t position);

  // Reads at most about `count` more bytes. At the source's end nothing, and
  // source_ended() is then true.
  absl::Status Fill(size_t count);

  // Up to `count` bytes from `position` on, which lies in [begin(), end()].
  absl::string_view Peek(uint64_t position, size_t count) const;

  // Makes the content from `position` on, which lies before end(), readable
  // again; the source is rewound where it is no longer in the buffer. DATA_LOSS
  // (CONTENT_GONE) if that cannot be done.
  absl::Status GoBack(uint64_t position);

  // Drops content before `position` if the buffer is too full. False if it
  // still is.
  bool Forget(uint64_t position);

  uint64_t begin() const { return begin_; }
  uint64_t end() const { return begin_ + data_.size(); }
  uint64_t source_begin() const { return source_begin_; }
  bool source_ended() const { return source_ended_; }

 private:
  // Reads whole units to the end of `data_`.
  absl::Status ReadMore(size_t count);

  ContentSource* const source_;
  const uint64_t source_begin_;
  const size_t unit_;
  const size_t buffer_bytes_;
  uint64_t begin_;  // of data_
  std::string data_;
  bool source_ended_ = false;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_APPEND_WINDOW_H_
