// LoadCorpus: the text, or the token ids, that the documents of a load are cut
// from. Immutable; thread-safe.
#ifndef LONGHAND_CLIENT_LOAD_CORPUS_H_
#define LONGHAND_CLIENT_LOAD_CORPUS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/encoder_client.h"
#include "client/load_plan.h"

namespace longhand::client {

// A text and its tokens: three parallel arrays, places in bytes of the text.
struct TokenizedText {
  std::string text;
  std::vector<uint32_t> ids;
  std::vector<uint64_t> begin, end;
};

// Tokenizes `text` with the server, piece by piece: texts of any length. The
// pieces are cut at line ends and spaces, so that no word is.
absl::StatusOr<TokenizedText> TokenizeWithServer(EncoderClient* client,
                                                 std::string text,
                                                 size_t piece_bytes,
                                                 const CallOptions& call);

// A document in the corpus.
struct DocumentCut {
  uint64_t begin = 0;   // in the corpus; bytes of text, or tokens
  uint64_t size = 0;    // of the document, in the same unit
  uint64_t tokens = 0;  // a token more or less where text is cut inside a word
};

class LoadCorpus {
 public:
  // Documents are text. INVALID_ARGUMENT (INPUT_EMPTY) without tokens.
  static absl::StatusOr<LoadCorpus> OfText(TokenizedText source);
  // Documents are token ids.
  static absl::StatusOr<LoadCorpus> OfIds(std::vector<uint32_t> ids);

  bool is_text() const { return !is_ids_; }
  uint64_t token_count() const { return ids_.size(); }

  // Begins at a word near the planned place. The corpus is repeated without end
  // for documents that go beyond it.
  DocumentCut Cut(const PlannedDocument& document) const;

  // `count` units of a document from its unit `offset` on, or what is left.
  std::string CopyText(const DocumentCut& cut, uint64_t offset,
                       uint64_t count) const;
  std::vector<uint32_t> CopyIds(const DocumentCut& cut, uint64_t offset,
                                uint64_t count) const;

 private:
  LoadCorpus() = default;
  // Of the token that begins the document.
  uint64_t FirstToken(uint64_t place) const;

  bool is_ids_ = false;
  std::string text_;  // ends with a line feed
  std::vector<uint32_t> ids_;
  std::vector<uint64_t> begin_, end_;  // of text
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_LOAD_CORPUS_H_
