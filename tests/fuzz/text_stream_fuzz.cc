// Text of documents: the stream gives the tokens of the whole text whatever the
// cuts, or both refuse it at the same byte; it goes on from a restart point as
// if it had seen the text before it.

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/text/text_stream.h"
#include "tests/fuzz/fuzz_input.h"

namespace longhand::testing {
namespace {

struct Result {
  absl::Status status;
  TokenSequence tokens;
  // A place where the text may be begun anew, and the tokens before it.
  uint64_t restart_byte = 0;
  size_t restart_tokens = 0;
};

struct Limits {
  size_t segment_bytes;
  size_t max_piece_bytes;
};

Result Stream(const Tokenizer& tokenizer, std::string_view text, Limits limits,
              Pieces pieces, uint64_t from = 0) {
  TextStream stream =
      from == 0
          ? TextStream(&tokenizer, limits.segment_bytes, limits.max_piece_bytes)
          : TextStream::From(&tokenizer, from, limits.segment_bytes,
                             limits.max_piece_bytes);
  Result result;
  uint64_t place = from;
  while (place < text.size() && result.status.ok()) {
    const std::string piece(text.substr(place, pieces.Next()));
    place += piece.size();
    result.status = stream.Append(piece, &result.tokens);
    if (!result.status.ok()) break;
    LH_CHECK(stream.received_bytes() == place);
    LH_CHECK(stream.restart_byte() + stream.held_bytes() == place);
    result.restart_byte = stream.restart_byte();
    result.restart_tokens = result.tokens.size();
  }
  if (result.status.ok()) result.status = stream.Finish(&result.tokens);
  return result;
}

std::string ByteOffset(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  const auto offset = detail->metadata.find("byte_offset");
  return offset == detail->metadata.end() ? "" : offset->second;
}

void CheckSameRefusal(const absl::Status& a, const absl::Status& b) {
  CheckRefusal(a, {absl::StatusCode::kInvalidArgument});
  LH_CHECK(a.code() == b.code() && Reason(a) == Reason(b));
  LH_CHECK(ByteOffset(a) == ByteOffset(b));
}

void CheckSameTokens(const TokenSequence& a, const TokenSequence& b) {
  LH_CHECK(a.ids == b.ids && a.begin == b.begin && a.end == b.end);
}

TokenSequence From(const TokenSequence& tokens, size_t first) {
  const auto part = [first](const auto& all) {
    return std::remove_cvref_t<decltype(all)>(all.begin() + ptrdiff_t(first),
                                              all.end());
  };
  return {part(tokens.ids), part(tokens.begin), part(tokens.end)};
}

void CheckTokens(const Tokenizer& tokenizer, const TokenSequence& tokens,
                 size_t text_bytes) {
  LH_CHECK(tokens.begin.size() == tokens.size());
  LH_CHECK(tokens.end.size() == tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    LH_CHECK(tokens.ids[i] >= 0 && tokens.ids[i] < tokenizer.vocab_size());
    LH_CHECK(tokens.begin[i] <= tokens.end[i] && tokens.end[i] <= text_bytes);
    LH_CHECK(i == 0 || tokens.begin[i - 1] <= tokens.begin[i]);
  }
}

void Run(const Tokenizer& tokenizer, std::string_view text, Limits limits,
         Pieces pieces) {
  TokenSequence whole;
  const absl::Status encoded = tokenizer.Encode(text, 0, &whole);
  if (encoded.ok()) CheckTokens(tokenizer, whole, text.size());
  const Result stream = Stream(tokenizer, text, limits, pieces);
  const Result one_piece = Stream(tokenizer, text, limits, Pieces(0, SIZE_MAX));
  CheckSameTokens(stream.tokens, one_piece.tokens);
  if (!stream.status.ok()) {
    CheckSameRefusal(stream.status, one_piece.status);
    // A run that is too long is refused before what lies behind it is seen.
    if (Reason(stream.status) != "TEXT_UNBROKEN") {
      CheckSameRefusal(stream.status, encoded);
    }
    return;
  }
  LH_CHECK(one_piece.status.ok() && encoded.ok());
  CheckSameTokens(stream.tokens, whole);
  if (stream.restart_byte == 0) return;
  const Result rest =
      Stream(tokenizer, text, limits, pieces, stream.restart_byte);
  LH_CHECK(rest.status.ok());
  CheckSameTokens(rest.tokens, From(whole, stream.restart_tokens));
}

const Tokenizer& ByteBpe() {
  static const Tokenizer* const tokenizer = [] {
    auto loaded =
        Tokenizer::Load(LONGHAND_TESTDATA_DIR "/tokenizers/byte_bpe.json");
    LH_CHECK(loaded.ok());
    return loaded->release();
  }();
  return *tokenizer;
}

// Letters and marks of a small vocabulary, in the way of BERT.
const Tokenizer& WordPiece() {
  static const Tokenizer* const tokenizer = [] {
    auto loaded =
        Tokenizer::Load(LONGHAND_FUZZ_DIR "/corpus/tokenizer_file/bert.json");
    LH_CHECK(loaded.ok());
    return loaded->release();
  }();
  return *tokenizer;
}

}  // namespace
}  // namespace longhand::testing

// Two bytes for the cuts, then one each for the longest piece, the segment, the
// longest run and the tokenizer.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhand::testing;  // NOLINT
  FuzzInput input(data, size);
  const auto seed = input.Number<uint16_t>();
  const size_t max_piece = 1 + input.Choose(64);
  const size_t segment_bytes = 1 + input.Choose(256);
  const size_t max_run = 16 + 16 * input.Choose(256);
  const bool byte_bpe = input.Choose(2) == 0;
  Run(byte_bpe ? ByteBpe() : WordPiece(), input.Rest(),
      {segment_bytes, max_run}, Pieces(seed, max_piece));
  return 0;
}
