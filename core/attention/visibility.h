// Visibility: which other chunks of its document a chunk may retrieve from, and
// what their states were made from.
#ifndef LONGHAND_CORE_ATTENTION_VISIBILITY_H_
#define LONGHAND_CORE_ATTENTION_VISIBILITY_H_

#include <string_view>

namespace longhand {

enum class Visibility {
  kCausal,         // earlier chunks
  kBidirectional,  // all other chunks, layer by layer
  // All other chunks, as a first pass over each chunk on its own left them:
  // a state depends on its chunk's content alone.
  kTwoPass,
};

constexpr std::string_view VisibilityName(Visibility visibility) {
  switch (visibility) {
    case Visibility::kCausal:
      return "causal";
    case Visibility::kBidirectional:
      return "bidirectional";
    case Visibility::kTwoPass:
      return "two_pass";
  }
  return "";
}

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_VISIBILITY_H_
