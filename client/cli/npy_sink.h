// The sink for --output npy: one kind of result as one array, and the spans of
// its rows in a file beside it. See result_sink.h.
#ifndef LONGHAND_CLIENT_CLI_NPY_SINK_H_
#define LONGHAND_CLIENT_CLI_NPY_SINK_H_

#include <memory>

#include "client/cli/result_sink.h"

namespace longhand::client {

absl::StatusOr<std::unique_ptr<ResultSink>> MakeNpySink(
    const SinkContext& context);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_NPY_SINK_H_
