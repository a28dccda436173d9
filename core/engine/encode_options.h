// From what a request asks for to what is computed: defaults, validation, and
// the objects that the names stand for. Pure functions; safe from any thread.
#ifndef LONGHAND_CORE_ENGINE_ENCODE_OPTIONS_H_
#define LONGHAND_CORE_ENGINE_ENCODE_OPTIONS_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/attention/attention.h"
#include "core/chunking/chunker.h"
#include "core/engine/encode_types.h"
#include "core/model/model.h"
#include "core/state/chunk_state.h"
#include "core/state/state_codec.h"

namespace longhand {

// The operator's defaults with everything that they leave open filled in.
EncodeOptions BuiltInDefaults(const Model& model,
                              const EncodeOptions& defaults);

// `options` with everything that they leave open taken from `defaults`, which
// leave nothing open. INVALID_ARGUMENT for names, numbers and combinations that
// this model does not take, and (OPTION_UNUSED, with the field's public name as
// `field`) for a field that was set but has no meaning for the mechanism;
// FAILED_PRECONDITION (MECHANISM_UNAVAILABLE).
absl::StatusOr<EncodeOptions> ResolveEncodeOptions(
    const Model& model, const EncodeOptions& options,
    const EncodeOptions& defaults);

// INVALID_ARGUMENT (MECHANISM_OPTION_OUT_OF_RANGE, TOO_MANY_GLOBAL_TOKENS,
// GLOBAL_TOKENS_INVALID) unless mechanism_options and global_tokens may be
// given to MakeAttention.
absl::Status CheckMechanismInput(const EncodeOptions& options);

// The registered mechanisms that this model can run, ascending.
std::vector<std::string> AvailableMechanisms(const Model& model);

// All options that the mechanism does not look at, by their public names.
std::vector<std::string_view> UnusedOptions(const Attention& attention);

// The options of the mechanism's own that it does look at, with their values,
// as resolved options have them. REQUIRES: MakeAttention succeeds.
struct NamedValue {
  std::string name;
  std::string value;
};
std::vector<NamedValue> UsedMechanismOptions(const Model& model,
                                             const EncodeOptions& options);

// What resolved options name, for this model.
absl::StatusOr<std::unique_ptr<const Attention>> MakeAttention(
    const Model& model, const EncodeOptions& options);
absl::StatusOr<std::unique_ptr<const StateCodec>> MakeStateCodec(
    const EncodeOptions& options);
absl::StatusOr<std::unique_ptr<Chunker>> MakeChunker(
    const Model& model, const EncodeOptions& options);

// Of all resolved options that the numbers in a chunk's state depend on.
StateFingerprint MakeStateFingerprint(const Model& model,
                                      const EncodeOptions& options);

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_ENCODE_OPTIONS_H_
