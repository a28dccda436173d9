#include "client/load_corpus.h"

#include <algorithm>
#include <utility>

#include "client/client_error.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// How far the beginning of a word is looked for: some scripts have no spaces.
constexpr uint64_t kWordSearchTokens = 64;

absl::Status Empty() {
  return MakeClientError(
      absl::StatusCode::kInvalidArgument, "INPUT_EMPTY",
      "the input holds no token; give a file with some text or token ids");
}

bool IsContinuation(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

// Where a piece of at most `limit` bytes from `begin` on ends.
size_t PieceEnd(absl::string_view text, size_t begin, size_t limit) {
  if (text.size() - begin <= limit) return text.size();
  const absl::string_view piece = text.substr(begin, limit);
  for (const char separator : {'\n', ' '}) {
    const size_t found = piece.rfind(separator);
    if (found != absl::string_view::npos) return begin + found + 1;
  }
  size_t end = begin + limit;
  while (end > begin + 1 && IsContinuation(text[end])) --end;
  return end;
}

// Elements [offset, offset + count) of the endless repetition of `ring`.
template <typename Sequence>
Sequence CopyRing(const Sequence& ring, uint64_t offset, uint64_t count) {
  Sequence copy;
  copy.reserve(count);
  while (copy.size() < count) {
    const uint64_t begin = (offset + copy.size()) % ring.size();
    const uint64_t take =
        std::min<uint64_t>(ring.size() - begin, count - copy.size());
    const auto from = ring.begin() + static_cast<ptrdiff_t>(begin);
    copy.insert(copy.end(), from, from + static_cast<ptrdiff_t>(take));
  }
  return copy;
}

}  // namespace

absl::StatusOr<TokenizedText> TokenizeWithServer(EncoderClient* client,
                                                 std::string text,
                                                 size_t piece_bytes,
                                                 const CallOptions& call) {
  TokenizedText source;
  source.text = std::move(text);
  for (size_t begin = 0; begin < source.text.size();) {
    const size_t end = PieceEnd(source.text, begin, piece_bytes);
    v1::TokenizeRequest request;
    request.set_text(source.text.substr(begin, end - begin));
    LH_CLIENT_ASSIGN_OR_RETURN(const v1::TokenizeResponse tokens,
                               client->Tokenize(request, call));
    if (tokens.begin_bytes_size() != tokens.ids_size() ||
        tokens.end_bytes_size() != tokens.ids_size()) {
      return MakeClientError(
          absl::StatusCode::kDataLoss, "INCOMPLETE_RESULT",
          "the server's tokens have not a place in the text each");
    }
    source.ids.insert(source.ids.end(), tokens.ids().begin(),
                      tokens.ids().end());
    for (const uint64_t place : tokens.begin_bytes()) {
      source.begin.push_back(begin + std::min<uint64_t>(place, end - begin));
    }
    for (const uint64_t place : tokens.end_bytes()) {
      source.end.push_back(begin + std::min<uint64_t>(place, end - begin));
    }
    begin = end;
  }
  return source;
}

absl::StatusOr<LoadCorpus> LoadCorpus::OfText(TokenizedText source) {
  if (source.ids.empty()) return Empty();
  LoadCorpus corpus;
  corpus.text_ = std::move(source.text);
  // The next copy must not begin inside this one's last word.
  if (corpus.text_.back() != '\n') corpus.text_ += '\n';
  corpus.ids_ = std::move(source.ids);
  corpus.begin_ = std::move(source.begin);
  corpus.end_ = std::move(source.end);
  return corpus;
}

absl::StatusOr<LoadCorpus> LoadCorpus::OfIds(std::vector<uint32_t> ids) {
  if (ids.empty()) return Empty();
  LoadCorpus corpus;
  corpus.is_ids_ = true;
  corpus.ids_ = std::move(ids);
  return corpus;
}

uint64_t LoadCorpus::FirstToken(uint64_t place) const {
  const uint64_t wanted = place % ids_.size();
  if (is_ids_) return wanted;
  const uint64_t stop =
      std::min<uint64_t>(ids_.size(), wanted + kWordSearchTokens);
  for (uint64_t token = wanted; token < stop; ++token) {
    if (token == 0 || end_[token - 1] < begin_[token]) return token;
  }
  return wanted;
}

DocumentCut LoadCorpus::Cut(const PlannedDocument& document) const {
  const uint64_t first = FirstToken(document.place);
  if (is_ids_) return {first, document.tokens, document.tokens};
  // Tokens may begin inside a character where it has several.
  uint64_t begin = begin_[first];
  while (begin > 0 && IsContinuation(text_[begin])) --begin;
  const uint64_t last = first + document.tokens - 1;
  uint64_t end = end_[last % ids_.size()];
  while (end < text_.size() && IsContinuation(text_[end])) ++end;
  end += last / ids_.size() * text_.size();
  return {begin, end - begin, document.tokens};
}

std::string LoadCorpus::CopyText(const DocumentCut& cut, uint64_t offset,
                                 uint64_t count) const {
  if (offset >= cut.size) return {};
  return CopyRing(text_, cut.begin + offset,
                  std::min(count, cut.size - offset));
}

std::vector<uint32_t> LoadCorpus::CopyIds(const DocumentCut& cut,
                                          uint64_t offset,
                                          uint64_t count) const {
  if (offset >= cut.size) return {};
  return CopyRing(ids_, cut.begin + offset, std::min(count, cut.size - offset));
}

}  // namespace longhand::client
