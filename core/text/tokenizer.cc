#include "core/text/tokenizer.h"

#include <filesystem>
#include <fstream>
#include <ios>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/text/hf_tokenizer/hf_tokenizer.h"
#include "core/text/utf8.h"

namespace longhand {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;

lh_tokenizer* AsTokenizer(void* handle) {
  return static_cast<lh_tokenizer*>(handle);
}

std::string TakeText(lh_text text) {
  std::string result(reinterpret_cast<const char*>(text.data), text.size);
  lh_text_free(text);
  return result;
}

const uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

absl::Status InvalidFile(const std::string& subject,
                         const std::string& problem) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, "TOKENIZER_INVALID",
      absl::StrCat(subject, " cannot be used: ", problem,
                   "; use the tokenizer.json that belongs to the model, as "
                   "saved by the Hugging Face library"));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status =
      std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return MakeError(
        absl::StatusCode::kNotFound, "TOKENIZER_MISSING",
        absl::StrCat(path,
                     " does not exist; a model directory needs "
                     "tokenizer.json: copy it from the model's repository, or "
                     "make it with the Hugging Face library "
                     "(save_pretrained of a fast tokenizer)"));
  }
  if (status.type() != std::filesystem::file_type::regular) {
    return InvalidFile(path, "it is not a regular file that can be read");
  }
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return InvalidFile(path, error.message());
  if (size > kMaxFileBytes) {
    return InvalidFile(path, "it is larger than 256 MiB");
  }
  std::string json(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(json.data(), static_cast<std::streamsize>(json.size()))) {
    return InvalidFile(path, "it cannot be read");
  }
  return json;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::Load(
    const std::string& path) {
  LH_ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  return Parse(json, path);
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::FromJson(
    std::string_view json) {
  return Parse(json, "tokenizer.json");
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::Parse(
    std::string_view json, const std::string& name) {
  if (json.size() > kMaxFileBytes) {
    return InvalidFile(name, "it is larger than 256 MiB");
  }
  lh_tokenizer* handle = nullptr;
  lh_text message = {};
  const int32_t code =
      lh_tokenizer_new(Bytes(json), json.size(), &handle, &message);
  const std::string problem = TakeText(message);
  if (code != LH_TOKENIZER_OK) return InvalidFile(name, problem);

  std::unique_ptr<Tokenizer> tokenizer(new Tokenizer(handle));
  lh_tokenizer_facts facts;
  lh_tokenizer_describe(handle, &facts);
  // The crate's side refuses ids of more than 31 bits.
  tokenizer->vocab_size_ = static_cast<int32_t>(facts.vocab_size);
  tokenizer->prefix_ids_.assign(facts.prefix_ids,
                                facts.prefix_ids + facts.prefix_size);
  tokenizer->suffix_ids_.assign(facts.suffix_ids,
                                facts.suffix_ids + facts.suffix_size);
  tokenizer->splits_at_whitespace_ = facts.splits_at_whitespace != 0;
  return tokenizer;
}

Tokenizer::~Tokenizer() { lh_tokenizer_free(AsTokenizer(handle_)); }

absl::Status Tokenizer::Encode(std::string_view text, uint64_t base_offset,
                               TokenSequence* tokens) const {
  lh_encoding encoding = {};
  uint64_t invalid_at = 0;
  lh_text message = {};
  const int32_t code =
      lh_tokenizer_encode(AsTokenizer(handle_), Bytes(text), text.size(),
                          &encoding, &invalid_at, &message);
  const absl::Cleanup free_encoding = [&] { lh_encoding_free(encoding); };
  const std::string problem = TakeText(message);
  if (code == LH_TOKENIZER_INVALID_UTF8) {
    return InvalidUtf8Error(base_offset + invalid_at);
  }
  if (code != LH_TOKENIZER_OK) {
    return MakeError(
        absl::StatusCode::kInternal, "TOKENIZER_FAILED",
        absl::StrCat("the tokenizer failed on a text of ", text.size(),
                     " bytes: ", problem,
                     "; report it with the model's tokenizer.json"));
  }
  for (size_t i = 0; i < encoding.size; ++i) {
    const lh_token& token = encoding.tokens[i];
    tokens->ids.push_back(static_cast<int32_t>(token.id));
    tokens->begin.push_back(base_offset + token.begin);
    tokens->end.push_back(base_offset + token.end);
  }
  return absl::OkStatus();
}

std::string Tokenizer::IdToToken(int32_t id) const {
  if (id < 0) return std::string();
  lh_text token = {};
  lh_tokenizer_id_to_token(AsTokenizer(handle_), static_cast<uint32_t>(id),
                           &token);
  return TakeText(token);
}

}  // namespace longhand
