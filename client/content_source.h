// ContentSource: where EncodeStream takes a document's text from. Owned by the
// caller and used by one call at a time. Read and Rewind are called from one
// thread at a time; Stop may come from another one while Read runs.
#ifndef LONGHAND_CLIENT_CONTENT_SOURCE_H_
#define LONGHAND_CLIENT_CONTENT_SOURCE_H_

#include <cstddef>
#include <functional>
#include <istream>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace longhand::client {

class ContentSource {
 public:
  virtual ~ContentSource() = default;

  // Fills the front of `buffer`, which is not empty, and returns how many bytes
  // that were; 0 at the end of the text. May block. An error ends the call with
  // that error.
  virtual absl::StatusOr<size_t> Read(absl::Span<char> buffer) = 0;

  // Back to the first byte, also after Stop. false if that is not possible: a
  // call that had read from it is then not retried.
  virtual bool Rewind() { return false; }

  // Nothing more is wanted: a Read that waits shall return soon, with anything.
  virtual void Stop() {}
};

// Text in memory, which must outlive the source.
class StringSource : public ContentSource {
 public:
  explicit StringSource(absl::string_view text) : text_(text) {}
  absl::StatusOr<size_t> Read(absl::Span<char> buffer) override;
  bool Rewind() override;

 private:
  absl::string_view text_;
  size_t position_ = 0;
};

// An open stream, from its position at construction. It must outlive the
// source; a stream that cannot seek cannot be rewound.
class IstreamSource : public ContentSource {
 public:
  explicit IstreamSource(std::istream* stream);
  absl::StatusOr<size_t> Read(absl::Span<char> buffer) override;
  bool Rewind() override;

 private:
  std::istream* stream_;
  std::istream::pos_type begin_;
};

// A function with the contract of ContentSource::Read.
class CallbackSource : public ContentSource {
 public:
  using Reader = std::function<absl::StatusOr<size_t>(absl::Span<char>)>;
  explicit CallbackSource(Reader reader) : reader_(std::move(reader)) {}
  absl::StatusOr<size_t> Read(absl::Span<char> buffer) override {
    return reader_(buffer);
  }

 private:
  Reader reader_;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CONTENT_SOURCE_H_
