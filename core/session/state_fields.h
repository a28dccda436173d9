// What the states and vectors of a session depend on besides its content, as
// fields with public names. Pure functions; safe from any thread.
#ifndef LONGHAND_CORE_SESSION_STATE_FIELDS_H_
#define LONGHAND_CORE_SESSION_STATE_FIELDS_H_

#include <vector>

#include "core/engine/encode_types.h"
#include "core/model/model.h"
#include "core/store/session_head.h"

namespace longhand {

// In an order in which the first difference says most. REQUIRES: resolved
// options.
std::vector<FingerprintField> MakeStateFields(const Model& model,
                                              const EncodeOptions& options);

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_STATE_FIELDS_H_
