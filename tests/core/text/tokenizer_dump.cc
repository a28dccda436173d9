// Prints tokens for tokenizer_parity.py.
//
// Usage: tokenizer_dump TOKENIZER_JSON < REQUESTS
// A request is a line {"text": T, "pieces": [bytes, ...], "segment_bytes": n};
// its answer is a line {"whole": S, "stream": S} with the tokens of one Encode
// and those of a TextStream that gets the text in these pieces, the rest last.
// S is {"ids": [...], "begin": [...], "end": [...]}.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/base/status_macros.h"
#include "core/text/text_stream.h"
#include "core/text/tokenizer.h"

namespace longhand {
namespace {

nlohmann::json ToJson(const TokenSequence& tokens) {
  return {{"ids", tokens.ids}, {"begin", tokens.begin}, {"end", tokens.end}};
}

absl::StatusOr<nlohmann::json> Answer(const Tokenizer& tokenizer,
                                      const nlohmann::json& request) {
  const std::string text = request.at("text");
  TokenSequence whole;
  LH_RETURN_IF_ERROR(tokenizer.Encode(text, 0, &whole));

  TextStream stream(&tokenizer, request.at("segment_bytes").get<size_t>());
  TokenSequence streamed;
  std::string_view rest = text;
  for (const size_t size : request.at("pieces")) {
    const std::string_view piece = rest.substr(0, size);
    rest.remove_prefix(piece.size());
    LH_RETURN_IF_ERROR(stream.Append(piece, &streamed));
  }
  LH_RETURN_IF_ERROR(stream.Append(rest, &streamed));
  LH_RETURN_IF_ERROR(stream.Finish(&streamed));
  return nlohmann::json{{"whole", ToJson(whole)}, {"stream", ToJson(streamed)}};
}

int Main(const char* path) {
  const auto tokenizer = Tokenizer::Load(path);
  if (!tokenizer.ok()) {
    std::cerr << tokenizer.status() << "\n";
    return 1;
  }
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto answer = Answer(**tokenizer, nlohmann::json::parse(line));
    if (!answer.ok()) {
      std::cerr << answer.status() << "\n";
      return 1;
    }
    std::cout << answer->dump() << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace longhand

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: tokenizer_dump TOKENIZER_JSON < REQUESTS\n";
    return 2;
  }
  return longhand::Main(argv[1]);
}
