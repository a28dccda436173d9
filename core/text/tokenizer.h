// Tokenizer: the exact behaviour of a Hugging Face tokenizer.json, by the Rust
// crate `tokenizers`, with byte offsets into the original text. Truncation and
// padding that the file asks for are switched off: Longhand cuts documents into
// chunks itself and drops nothing. Constant after construction; safe from many
// threads.
#ifndef LONGHAND_CORE_TEXT_TOKENIZER_H_
#define LONGHAND_CORE_TEXT_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/text/token_sequence.h"

namespace longhand {

class Tokenizer {
 public:
  // Reads `path`. NOT_FOUND (reason TOKENIZER_MISSING) if there is no such
  // file, INVALID_ARGUMENT (reason TOKENIZER_INVALID) if it is not a
  // tokenizer.json that the crate accepts or is larger than 256 MiB.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Load(
      const std::string& path);

  // The same from memory.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> FromJson(
      std::string_view json);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Appends the tokens of `text`, without special tokens, to `tokens`; their
  // offsets are those in `text` plus `base_offset`. Uses up to 0.5 KiB of
  // memory for each byte of `text` (every token is a few heap blocks to the
  // crate). INVALID_ARGUMENT (reason INVALID_UTF8) if `text` is not UTF-8,
  // INTERNAL (reason TOKENIZER_FAILED) if the crate fails; `tokens` is then
  // unchanged.
  absl::Status Encode(std::string_view text, uint64_t base_offset,
                      TokenSequence* tokens) const;

  // The vocabulary entry of `id`, or an empty string if there is none.
  std::string IdToToken(int32_t id) const;

  // Ids are below this, added tokens included.
  int32_t vocab_size() const { return vocab_size_; }

  // The special tokens that the file's post-processor puts before and after a
  // single sequence, such as {[CLS]} and {[SEP]}.
  const std::vector<int32_t>& prefix_ids() const { return prefix_ids_; }
  const std::vector<int32_t>& suffix_ids() const { return suffix_ids_; }

  // Whether Encode(a + b) == Encode(a) ++ Encode(b) for every cut between a
  // common letter, digit or punctuation mark (text_stream.cc lists them) and
  // ASCII white space. True for the pipelines that are known to have this
  // property (BERT-style and byte-level ones); a text stream over any other
  // tokenizer holds the whole document back.
  bool splits_at_whitespace() const { return splits_at_whitespace_; }

 private:
  // `name` is what errors call the file.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Parse(
      std::string_view json, const std::string& name);

  explicit Tokenizer(void* handle) : handle_(handle) {}

  void* handle_;  // owned; lh_tokenizer* of the C ABI
  int32_t vocab_size_ = 0;
  std::vector<int32_t> prefix_ids_;
  std::vector<int32_t> suffix_ids_;
  bool splits_at_whitespace_ = false;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_TEXT_TOKENIZER_H_
