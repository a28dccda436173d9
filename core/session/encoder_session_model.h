// The SessionModel over a real Encoder.
#ifndef LONGHAND_CORE_SESSION_ENCODER_SESSION_MODEL_H_
#define LONGHAND_CORE_SESSION_ENCODER_SESSION_MODEL_H_

#include <memory>

#include "core/engine/encoder.h"
#include "core/session/document_encoder.h"

namespace longhand {

// `encoder` must outlive the model and everything it makes.
std::unique_ptr<SessionModel> MakeEncoderSessionModel(Encoder* encoder);

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_ENCODER_SESSION_MODEL_H_
