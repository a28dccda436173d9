#include "core/pooling/registry.h"

namespace longhand {

#define POOLER(name, make) PoolerFactory make;
#include "core/pooling/poolers.def"
#undef POOLER

const Registry<PoolerFactory>& PoolerRegistry() {
  static constexpr Registry<PoolerFactory>::Entry kEntries[] = {
#define POOLER(name, make) {name, &make},
#include "core/pooling/poolers.def"
#undef POOLER
  };
  static const Registry<PoolerFactory> registry("pooling", "UNKNOWN_POOLING",
                                                kEntries);
  return registry;
}

}  // namespace longhand
