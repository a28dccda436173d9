// The table of chunkers, made from chunkers.def. Constant; safe from any
// thread.
#ifndef LONGHAND_CORE_CHUNKING_REGISTRY_H_
#define LONGHAND_CORE_CHUNKING_REGISTRY_H_

#include "core/base/registry.h"
#include "core/chunking/chunker.h"

namespace longhand {

const Registry<ChunkerFactory>& ChunkerRegistry();

}  // namespace longhand

#endif  // LONGHAND_CORE_CHUNKING_REGISTRY_H_
