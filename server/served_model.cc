#include "server/served_model.h"

#include "core/base/status_macros.h"
#include "core/chunking/registry.h"
#include "core/engine/encode_options.h"
#include "core/pooling/registry.h"
#include "core/state/state_codec.h"

namespace longhand {

absl::StatusOr<ServedModel> DescribeModel(const Encoder& encoder) {
  const Model& model = encoder.model();
  ServedModel served;
  served.info = model.info();
  served.config = model.config();
  served.tokenizer = model.tokenizer();
  served.normalized = model.normalize();
  served.special_tokens_per_chunk =
      static_cast<int>(model.prefix_ids().size() + model.suffix_ids().size());
  LH_ASSIGN_OR_RETURN(served.default_options,
                      encoder.ResolveOptions(EncodeOptions()));
  served.mechanisms = AvailableMechanisms(model);
  served.state_codecs = StateCodecRegistry().Names();
  served.chunkers = ChunkerRegistry().Names();
  served.poolings = PoolerRegistry().Names();
  return served;
}

}  // namespace longhand
