// The table of poolers, made from poolers.def. Constant; safe from any thread.
#ifndef LONGHAND_CORE_POOLING_REGISTRY_H_
#define LONGHAND_CORE_POOLING_REGISTRY_H_

#include "core/base/registry.h"
#include "core/pooling/pooler.h"

namespace longhand {

const Registry<PoolerFactory>& PoolerRegistry();

}  // namespace longhand

#endif  // LONGHAND_CORE_POOLING_REGISTRY_H_
