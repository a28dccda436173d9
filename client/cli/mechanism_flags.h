// The flags for the numbers of single mechanisms: one for each field of the
// message MechanismOptions, by its name. Pure functions; safe from any thread.
#ifndef LONGHAND_CLIENT_CLI_MECHANISM_FLAGS_H_
#define LONGHAND_CLIENT_CLI_MECHANISM_FLAGS_H_

#include <string>

#include "CLI/App.hpp"
#include "absl/strings/string_view.h"
#include "client/cli/option_flags.h"
#include "longhand/v1/encoder_service.pb.h"

namespace longhand::client {

// What the flag's help says of the field of that name; "" for none of it.
absl::string_view MechanismOptionHelp(absl::string_view field);

// "--window-tokens" for "window_tokens".
std::string MechanismOptionFlag(absl::string_view field);

// They write into `flags`, which must outlive the parsing.
void AddMechanismOptions(CLI::App* command, OptionFlags* flags);

// What the flags set.
void SetMechanismOptions(const OptionFlags& flags, v1::EncodeOptions* options);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_MECHANISM_FLAGS_H_
