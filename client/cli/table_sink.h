// The sink for `--output table`.
#ifndef LONGHAND_CLIENT_CLI_TABLE_SINK_H_
#define LONGHAND_CLIENT_CLI_TABLE_SINK_H_

#include <memory>

#include "client/cli/result_sink.h"

namespace longhand::client {

// Shows the text of chunks as it stands in context.input.
std::unique_ptr<ResultSink> MakeTableSink(const SinkContext& context);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_TABLE_SINK_H_
