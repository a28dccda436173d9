// Visibility: which other chunks of its document a chunk may retrieve from.
#ifndef LONGHAND_CORE_ATTENTION_VISIBILITY_H_
#define LONGHAND_CORE_ATTENTION_VISIBILITY_H_

#include <string_view>

namespace longhand {

enum class Visibility {
  kCausal,         // earlier chunks
  kBidirectional,  // all other chunks
};

inline std::string_view VisibilityName(Visibility visibility) {
  return visibility == Visibility::kCausal ? "causal" : "bidirectional";
}

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_VISIBILITY_H_
