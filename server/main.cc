// longhand-server: see --help.
#include <iostream>

#include "core/base/heap.h"
#include "server/lifecycle.h"
#include "server/server_config.h"

int main(int argc, char** argv) {
  absl::StatusOr<longhand::CommandLine> command =
      longhand::ParseCommandLine(argc, argv);
  if (!command.ok()) {
    std::cerr << "longhand-server: " << command.status().message()
              << "\nRun longhand-server --help for all flags.\n";
    return longhand::kExitBadConfig;
  }
  if (command->exit_text.has_value()) {
    std::cout << *command->exit_text;
    return longhand::kExitOk;
  }
  longhand::GiveLargeBlocksTheirOwnPages();
  return longhand::RunServer(command->config);
}
