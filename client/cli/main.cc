#include "client/cli/commands.h"

int main(int argc, char** argv) { return longhand::client::RunCli(argc, argv); }
