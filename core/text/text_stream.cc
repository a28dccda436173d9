#include "core/text/text_stream.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/text/utf8.h"

namespace longhand {
namespace {

bool IsAsciiSpace(char32_t c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct Range {
  char32_t first;
  char32_t last;
};

// Letters, digits and punctuation after which a document may be cut before
// white space: assigned since Unicode 3.2, never deleted by a normalizer, and
// with no Unicode normal form, accents stripped or not, that holds white space.
// A document in another script is still cut after ASCII punctuation.
constexpr Range kCutAfter[] = {
    {0x21, 0x7E},     {0xC0, 0xD6},     {0xD8, 0xF6},      // Latin
    {0xF8, 0x21F},    {0x391, 0x3A1},   {0x3A3, 0x3CE},    // Greek
    {0x400, 0x481},   {0x48C, 0x4CE},   {0x531, 0x556},    // Cyrillic
    {0x561, 0x587},   {0x5D0, 0x5EA},   {0x621, 0x63A},    // Hebrew, Arabic
    {0x641, 0x64A},   {0x671, 0x6D4},   {0x905, 0x939},    // Devanagari
    {0x964, 0x965},   {0x995, 0x9A8},   {0xE01, 0xE30},    // Thai
    {0x10D0, 0x10F0}, {0x1EA0, 0x1EF9}, {0x2010, 0x2015},  // dashes
    {0x2018, 0x2027}, {0x3001, 0x3002}, {0x3008, 0x3011},  // quotes
    {0x3041, 0x3094}, {0x30A1, 0x30FA}, {0x30FC, 0x30FC},  // kana
    {0x3400, 0x4DB5}, {0x4E00, 0x9FA5}, {0xAC00, 0xD7A3},  // ideographs
    {0xFF01, 0xFF5E},
};

bool MayCutAfter(char32_t c) {
  const Range* range =
      std::lower_bound(std::begin(kCutAfter), std::end(kCutAfter), c,
                       [](const Range& r, char32_t v) { return r.last < v; });
  return range != std::end(kCutAfter) && c >= range->first;
}

absl::Status UnbrokenError(uint64_t byte_offset, size_t limit_bytes) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, "TEXT_UNBROKEN",
      absl::StrCat("from byte ", byte_offset, " on, more than ", limit_bytes,
                   " bytes have no place where this tokenizer allows a cut: "
                   "break long runs of text with spaces or line ends, or send "
                   "several documents"),
      {{"byte_offset", absl::StrCat(byte_offset)},
       {"limit_bytes", absl::StrCat(limit_bytes)}});
}

}  // namespace

TextStream::TextStream(const Tokenizer* tokenizer, size_t segment_bytes,
                       size_t max_piece_bytes)
    : tokenizer_(tokenizer),
      max_piece_bytes_(std::max<size_t>(max_piece_bytes, 1)),
      segment_bytes_(std::clamp<size_t>(segment_bytes, 1, max_piece_bytes_)) {}

TextStream TextStream::From(const Tokenizer* tokenizer, uint64_t restart_byte,
                            size_t segment_bytes, size_t max_piece_bytes) {
  TextStream stream(tokenizer, segment_bytes, max_piece_bytes);
  stream.held_offset_ = stream.received_bytes_ = restart_byte;
  return stream;
}

absl::Status TextStream::Append(std::string_view bytes, TokenSequence* tokens) {
  LH_CHECK(!finished_);
  // In segments, so that a large append is not tokenized in one piece.
  while (status_.ok() && !bytes.empty()) {
    const std::string_view segment = bytes.substr(0, segment_bytes_);
    bytes.remove_prefix(segment.size());
    held_.append(segment);
    received_bytes_ += segment.size();
    status_ = Scan(tokens);
  }
  return status_;
}

absl::Status TextStream::Finish(TokenSequence* tokens) {
  LH_CHECK(!finished_);
  finished_ = true;
  LH_RETURN_IF_ERROR(status_);
  if (scanned_ < held_.size()) {
    return InvalidUtf8Error(held_offset_ + scanned_);
  }
  return Flush(held_.size(), tokens);
}

// Each byte is scanned once. Flush moves what stays behind a cut, which is a
// segment at most unless cuts are rare.
absl::Status TextStream::Scan(TokenSequence* tokens) {
  while (scanned_ < held_.size()) {
    const Utf8Char next =
        DecodeUtf8Char(std::string_view(held_).substr(scanned_));
    if (next.kind == Utf8Char::Kind::kTruncated) break;
    if (next.kind == Utf8Char::Kind::kInvalid) {
      return InvalidUtf8Error(held_offset_ + scanned_);
    }
    if (IsAsciiSpace(next.code_point) && MayCutAfter(last_char_) &&
        tokenizer_->splits_at_whitespace()) {
      cut_ = scanned_;
    }
    last_char_ = next.code_point;
    scanned_ += next.size;
    // Between cuts, so that it does not depend on how the bytes arrive.
    if (scanned_ - cut_ > max_piece_bytes_) {
      return UnbrokenError(held_offset_ + cut_, max_piece_bytes_);
    }
    // Decided by the bytes so far, wherever this piece of them ends.
    if (scanned_ >= segment_bytes_ && cut_ > 0) {
      LH_RETURN_IF_ERROR(Flush(cut_, tokens));
    }
  }
  return absl::OkStatus();
}

absl::Status TextStream::Flush(size_t size, TokenSequence* tokens) {
  LH_RETURN_IF_ERROR(tokenizer_->Encode(std::string_view(held_).substr(0, size),
                                        held_offset_, tokens));
  held_.erase(0, size);
  held_offset_ += size;
  scanned_ -= size;
  cut_ = 0;
  return absl::OkStatus();
}

}  // namespace longhand
