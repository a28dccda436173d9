// From the flags of a command to the options of a request. Pure functions; safe
// from any thread.
#ifndef LONGHAND_CLIENT_CLI_ENCODE_OPTIONS_H_
#define LONGHAND_CLIENT_CLI_ENCODE_OPTIONS_H_

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/flags.h"
#include "longhand/v1/encoder_service.pb.h"

namespace longhand::client {

// Without outputs and spans.
v1::EncodeOptions ToOptions(const OptionFlags& flags);

// "BEGIN:END", two numbers; nullopt otherwise.
std::optional<v1::ByteSpan> ParseSpan(absl::string_view text);

// A line "BEGIN END" for each span (empty lines do not count), or a JSON array
// of pairs. INPUT_INVALID otherwise.
absl::StatusOr<std::vector<v1::ByteSpan>> ParseSpans(absl::string_view text);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_ENCODE_OPTIONS_H_
