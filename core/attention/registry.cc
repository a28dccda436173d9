#include "core/attention/registry.h"

namespace longhand {

#define ATTENTION(name, make) AttentionFactory make;
#include "core/attention/attentions.def"
#undef ATTENTION

const Registry<AttentionFactory>& AttentionRegistry() {
  static constexpr Registry<AttentionFactory>::Entry kEntries[] = {
#define ATTENTION(name, make) {name, &make},
#include "core/attention/attentions.def"
#undef ATTENTION
  };
  static const Registry<AttentionFactory> registry(
      "attention mechanism", "UNKNOWN_MECHANISM", kEntries);
  return registry;
}

}  // namespace longhand
