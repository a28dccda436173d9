// The table of attention mechanisms, made from attentions.def. Constant; safe
// from any thread.
#ifndef LONGHAND_CORE_ATTENTION_REGISTRY_H_
#define LONGHAND_CORE_ATTENTION_REGISTRY_H_

#include "core/attention/attention.h"
#include "core/base/registry.h"

namespace longhand {

const Registry<AttentionFactory>& AttentionRegistry();

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_REGISTRY_H_
