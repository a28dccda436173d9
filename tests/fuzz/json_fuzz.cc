// The one JSON reader: it accepts nothing that the library's strict parser
// refuses, gives the same document, and what it gives can be written and read
// again. The getters return what is there or refuse.

#include <string>

#include "core/base/json.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/memory_meter.h"

namespace longhand::testing {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMemoryFactor = 128;

int Depth(const Json& value) {
  int depth = 0;
  for (const Json& element : value) {
    if (value.is_structured()) depth = std::max(depth, Depth(element));
  }
  return depth + (value.is_structured() ? 1 : 0);
}

void CheckGetters(const Json& json) {
  const auto number = GetInt(json, "n", -5, 1000);
  LH_CHECK(!number.ok() || (*number >= -5 && *number <= 1000 &&
                            json["n"].get<int64_t>() == *number));
  const auto real = GetDouble(json, "n", -0.5, 1e30, 2);
  LH_CHECK(!real.ok() || (*real >= -0.5 && *real <= 1e30));
  const auto flag = GetBool(json, "n");
  LH_CHECK(!flag.ok() || json["n"].is_boolean());
  const auto text = GetString(json, "n", "");
  for (const absl::Status& status :
       {number.status(), real.status(), flag.status(), text.status()}) {
    if (!status.ok()) {
      CheckRefusal(status, {absl::StatusCode::kInvalidArgument});
    }
  }
}

}  // namespace
}  // namespace longhand::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhand;           // NOLINT
  using namespace longhand::testing;  // NOLINT
  const std::string_view text = FuzzInput(data, size).Rest();
  constexpr JsonLimits kLimits{.max_depth = 16, .max_values = 1000};
  MemoryMeter memory;
  const absl::StatusOr<Json> json = ParseJson(text, kLimits);
  memory.CheckProportional(size, kMemoryFactor);
  if (!json.ok()) {
    CheckRefusal(json.status(), {absl::StatusCode::kInvalidArgument});
    return 0;
  }
  LH_CHECK(Depth(*json) <= kLimits.max_depth);
  const Json expected = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  LH_CHECK(!expected.is_discarded() && expected == *json);
  const auto again = ParseJson(json->dump(), kLimits);
  LH_CHECK(again.ok() && *again == *json);
  CheckGetters(*json);
  return 0;
}
