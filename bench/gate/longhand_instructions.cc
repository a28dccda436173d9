// longhand_instructions: does one piece of work twice, the second time with
// callgrind's counting switched on. check.py runs it and reads the counts.

#include <gnu/libc-version.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bench/gate/work.h"
#include "core/base/status_macros.h"
#include "core/compute/runtime.h"
#include "nlohmann/json.hpp"

#ifdef LONGHAND_HAVE_CALLGRIND
#include "valgrind/callgrind.h"
#else
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#endif

namespace longhand::gate {
namespace {

#ifdef LONGHAND_HAVE_CALLGRIND
constexpr bool kCanCount = true;
#else
constexpr bool kCanCount = false;
#endif

struct Arguments {
  bool list = false;
  std::string work;
  WorkFiles files;
};

// All that the number of instructions depends on besides our code.
std::string Toolchain(bool is_rust) {
#ifdef __clang__
  const std::string compiler =
      absl::StrCat("clang ", __clang_major__, ".", __clang_minor__);
#else
  const std::string compiler =
      absl::StrCat("gcc ", __GNUC__, ".", __GNUC_MINOR__);
#endif
  return absl::StrCat(compiler, " ", LONGHAND_BUILD_FLAGS, ", glibc ",
                      gnu_get_libc_version(), ", oneDNN ", OnednnVersion(), " ",
                      EffectiveIsa(), ", Highway ", LONGHAND_HIGHWAY_VERSION,
                      " ", VectorTarget(),
                      is_rust ? ", " LONGHAND_RUST_VERSION : "");
}

// {"can_count": bool, "works": {name: toolchain}}
void PrintList() {
  nlohmann::json works = nlohmann::json::object();
  for (const WorkInfo& work : Works()) {
    works[std::string(work.name)] = Toolchain(work.is_rust);
  }
  std::cout << nlohmann::json{{"can_count", kCanCount}, {"works", works}}
            << '\n';
}

absl::Status Run(const Arguments& arguments) {
  std::unique_ptr<Work> work;
  LH_ASSIGN_OR_RETURN(work, MakeWork(arguments.work, arguments.files));
  ComputeContext compute;
  // Makes the kernels and lets the workspace grow.
  work->Prepare(compute);
  LH_RETURN_IF_ERROR(work->Run(compute));
  work->Prepare(compute);
  CALLGRIND_START_INSTRUMENTATION;
  const absl::Status status = work->Run(compute);
  CALLGRIND_STOP_INSTRUMENTATION;
  return status;
}

void AddOptions(CLI::App* app, Arguments* arguments) {
  auto* list = app->add_flag("--list", arguments->list,
                             "print the works and this toolchain as JSON");
  app->add_option("--work", arguments->work, "what to do")->excludes(list);
  app->add_option("--model", arguments->files.model, "model directory");
  app->add_option("--tokenizer", arguments->files.tokenizer,
                  "a tokenizer.json");
  app->add_option("--text", arguments->files.text, "a text");
}

}  // namespace
}  // namespace longhand::gate

int main(int argc, char** argv) {
  CLI::App app(
      "Does a piece of work twice, the second time counted by valgrind "
      "--tool=callgrind --instr-atstart=no.");
  longhand::gate::Arguments arguments;
  longhand::gate::AddOptions(&app, &arguments);
  CLI11_PARSE(app, argc, argv);
  if (arguments.list) {
    longhand::gate::PrintList();
    return EXIT_SUCCESS;
  }
  const absl::Status status = longhand::gate::Run(arguments);
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "longhand_instructions: " << status.message() << '\n';
  return EXIT_FAILURE;
}
