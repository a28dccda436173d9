// Between the wire and the core: every check of what a client sends, and every
// message that is sent back. Pure functions; safe from any thread.
#ifndef LONGHAND_SERVER_CONVERT_H_
#define LONGHAND_SERVER_CONVERT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/engine/encode_types.h"
#include "core/engine/encoder.h"
#include "core/text/token_sequence.h"
#include "google/protobuf/duration.pb.h"
#include "longhand/v1/encoder_service.pb.h"
#include "longhand/v1/model_service.pb.h"
#include "server/served_model.h"

namespace longhand {

// UTF-8 text or token ids.
using Content = std::variant<std::string, std::vector<int32_t>>;

// NOT_FOUND (MODEL_NOT_FOUND) unless `name` is empty or that of `model`.
absl::Status CheckModelName(std::string_view name, const ServedModel& model);

// NOT_FOUND (MODEL_NOT_FOUND); INVALID_ARGUMENT (VISIBILITY_UNKNOWN,
// OUTPUT_UNKNOWN, FEATURES_UNKNOWN, MERGE_UNKNOWN, GATE_OUT_OF_RANGE,
// CHUNK_TOKENS_OUT_OF_RANGE, and such a reason for every number that no int
// holds). Registered names, other numbers and spans are left to the encoder.
absl::StatusOr<EncodeOptions> FromProto(const v1::EncodeOptions& options,
                                        const ServedModel& model);

// The same bits. The encoder checks that they are in the vocabulary, since it
// knows their places in the document.
std::vector<int32_t> FromProto(const v1::TokenIds& ids);

// The document of a unary request. INVALID_ARGUMENT (CONTENT_MISSING) if
// neither content is set.
absl::StatusOr<Content> ContentFromProto(const v1::EncodeRequest& request);

v1::EncodeOptions ToProto(const EncodeOptions& options,
                          const ServedModel& model);
v1::Chunk ToProto(const ChunkResult& chunk);
v1::HeadRetrievalWeights ToProto(const HeadWeightsResult& weights);
v1::SpanVector ToProto(const SpanResult& span);
v1::EncodeProgress ToProto(const EncodeProgress& progress);
// Its options leave out the spans, which come back with their vectors.
v1::EncodeSummary ToProto(const EncodeSummary& summary,
                          const ServedModel& model);

// Token results cut into messages whose vectors take at most `max_bytes` (at
// least one token each).
std::vector<v1::TokenVectors> ToProto(const TokenResult& tokens,
                                      size_t max_bytes);

// `tokenizer` turns ids into vocabulary entries; null leaves them out.
v1::TokenizeResponse ToProto(const TokenSequence& tokens,
                             const Tokenizer* tokenizer);

v1::Model ToProto(const ServedModel& model, const EncoderOptions& encoder,
                  uint64_t max_message_bytes);

// To the nanosecond.
void SetDuration(absl::Duration duration, google::protobuf::Duration* proto);

// Little-endian float32, as all vectors travel.
std::string FloatBytes(const float* values, size_t count);

}  // namespace longhand

#endif  // LONGHAND_SERVER_CONVERT_H_
