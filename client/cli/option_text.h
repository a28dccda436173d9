// Options of an encoding as a sentence for people. Pure functions; safe from
// any thread.
#ifndef LONGHAND_CLIENT_CLI_OPTION_TEXT_H_
#define LONGHAND_CLIENT_CLI_OPTION_TEXT_H_

#include <string>

#include "longhand/v1/encoder_service.pb.h"

namespace longhand::client {

// The options that have a say, as a display line; those that are switched off
// are left out.
std::string DescribeOptions(const v1::EncodeOptions& options);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_OPTION_TEXT_H_
