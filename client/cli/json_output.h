// Results as JSON values. Floats have the fewest digits that give the same
// float32 back; there is no NaN or infinity (encode_result.h refuses them, and
// null stands for any other). Pure functions; safe from any thread.
#ifndef LONGHAND_CLIENT_CLI_JSON_OUTPUT_H_
#define LONGHAND_CLIENT_CLI_JSON_OUTPUT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/encode_result.h"
#include "longhand/v1/model_service.pb.h"
#include "nlohmann/json.hpp"

namespace longhand::client {

// Keys in the order of writing, numbers as float32.
using Json = nlohmann::basic_json<nlohmann::ordered_map, std::vector,
                                  std::string, bool, int64_t, uint64_t, float>;

// One line; bytes that are not UTF-8 become U+FFFD.
std::string Dump(const Json& json);

// {"index","begin_byte","end_byte","begin_token","end_token"}, where present
// "context_mix", and unless `span_only` "norm" and, where present, "vector" and
// "retrieval_weights".
Json ToJson(const Chunk& chunk, bool span_only);
Json ToJson(const SpanVector& span, bool span_only);

// {"chunk_index","layer","weights"}; "weights" has one array per head, or one
// of all values if they are no `heads` rows.
Json ToJson(const HeadWeights& weights, size_t heads);

// {"chunk_index","begin_token","ids","begin_bytes","end_bytes","vectors"};
// "vectors" has one array per token.
Json ToJson(const TokenVectors& tokens);

// Options as the flags of the command name them.
Json ToJson(const v1::EncodeOptions& options);

// Counts, fingerprint, "timings" in seconds, "client_seconds" (as measured
// here), "tokens_per_second" (of the client) and
// "compute_tokens_per_second" (of the server's workers).
Json ToJson(const v1::EncodeSummary& summary, absl::Duration client_time);

Json ToJson(const v1::Model& model);

// Array of {"id","begin_byte","end_byte"} and, where present, "token".
Json ToJson(const v1::TokenizeResponse& tokens);

// "causal", "bidirectional", "two_pass" or "" and back; "document", "chunks",
// "tokens", "weights", "head_weights" and back. Unknown names give the
// UNSPECIFIED value.
std::string ToName(v1::Visibility visibility);
v1::Visibility ToVisibility(const std::string& name);
std::string ToName(v1::Output output);
v1::Output ToOutput(const std::string& name);

absl::Duration ToDuration(const google::protobuf::Duration& duration);

// Per second, 0 if no time passed.
double Rate(uint64_t count, absl::Duration time);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_JSON_OUTPUT_H_
