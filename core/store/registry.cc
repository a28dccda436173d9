#include "core/store/session_store.h"

namespace longhand {

#define SESSION_STORE(name, make) SessionStoreFactory make;
#include "core/store/session_stores.def"
#undef SESSION_STORE

const Registry<SessionStoreFactory>& SessionStoreRegistry() {
  static constexpr Registry<SessionStoreFactory>::Entry kEntries[] = {
#define SESSION_STORE(name, make) {name, &make},
#include "core/store/session_stores.def"
#undef SESSION_STORE
  };
  static const Registry<SessionStoreFactory> registry(
      "session store", "UNKNOWN_SESSION_STORE", kEntries);
  return registry;
}

}  // namespace longhand
