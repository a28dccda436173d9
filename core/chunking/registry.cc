#include "core/chunking/registry.h"

namespace longhand {

#define CHUNKER(name, make) ChunkerFactory make;
#include "core/chunking/chunkers.def"
#undef CHUNKER

const Registry<ChunkerFactory>& ChunkerRegistry() {
  static constexpr Registry<ChunkerFactory>::Entry kEntries[] = {
#define CHUNKER(name, make) {name, &make},
#include "core/chunking/chunkers.def"
#undef CHUNKER
  };
  static const Registry<ChunkerFactory> registry("chunker", "UNKNOWN_CHUNKER",
                                                 kEntries);
  return registry;
}

}  // namespace longhand
