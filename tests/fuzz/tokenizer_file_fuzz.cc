// tokenizer.json: refused, or a tokenizer whose tokens lie in the text and in
// the vocabulary.

#include <string>

#include "core/text/tokenizer.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

constexpr char kText[] =
    "The Quick brown fox, na\xC3\xAFve; \xE4\xBD\xA0\xE5\xA5\xBD\t<s>[MASK] "
    "42!\n";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhand;           // NOLINT
  using namespace longhand::testing;  // NOLINT
  const auto tokenizer = Tokenizer::FromJson(FuzzInput(data, size).Rest());
  if (!tokenizer.ok()) {
    CheckRefusal(tokenizer.status(), {absl::StatusCode::kInvalidArgument});
    return 0;
  }
  const std::string_view text(kText, sizeof(kText) - 1);
  TokenSequence tokens;
  const absl::Status status = (*tokenizer)->Encode(text, 5, &tokens);
  if (!status.ok()) {
    CheckRefusal(status, {absl::StatusCode::kInternal});
    LH_CHECK(tokens.empty());
    return 0;
  }
  LH_CHECK(tokens.begin.size() == tokens.size());
  LH_CHECK(tokens.end.size() == tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    LH_CHECK(tokens.ids[i] >= 0 && tokens.ids[i] < (*tokenizer)->vocab_size());
    LH_CHECK(tokens.begin[i] >= 5 && tokens.begin[i] <= tokens.end[i]);
    LH_CHECK(tokens.end[i] <= 5 + text.size());
    static_cast<void>((*tokenizer)->IdToToken(tokens.ids[i]));
  }
  for (const int32_t id : (*tokenizer)->prefix_ids()) {
    LH_CHECK(id >= 0 && id < (*tokenizer)->vocab_size());
  }
  return 0;
}
