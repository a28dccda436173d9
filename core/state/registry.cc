#include "core/state/state_codec.h"

namespace longhand {

#define STATE_CODEC(name, make) StateCodecFactory make;
#include "core/state/state_codecs.def"
#undef STATE_CODEC

const Registry<StateCodecFactory>& StateCodecRegistry() {
  static constexpr Registry<StateCodecFactory>::Entry kEntries[] = {
#define STATE_CODEC(name, make) {name, &make},
#include "core/state/state_codecs.def"
#undef STATE_CODEC
  };
  static const Registry<StateCodecFactory> registry(
      "state codec", "UNKNOWN_STATE_CODEC", kEntries);
  return registry;
}

}  // namespace longhand
