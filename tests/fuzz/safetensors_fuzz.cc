// Weight files: a header that is accepted describes tensors that lie in the
// file, side by side; the file as opened shows the same ones, and every read of
// them stays inside.

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/weights/safetensors.h"
#include "core/weights/weight_scope.h"
#include "nlohmann/json.hpp"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/memory_meter.h"

namespace longhand::testing {
namespace {

// Containers of the JSON parser: measured for arrays of small numbers.
constexpr uint64_t kMemoryFactor = 128;

void CheckHeader(std::string_view file, const SafetensorsHeader& header) {
  uint64_t position = header.entries.empty() ? 0 : header.entries[0].begin;
  for (const SafetensorsEntry& entry : header.entries) {
    LH_CHECK(!entry.name.empty());
    LH_CHECK(entry.begin == position && entry.begin <= entry.end);
    LH_CHECK(entry.shape.size() <= size_t{kMaxRank});
    LH_CHECK(entry.end - entry.begin == uint64_t(NumElements(entry.shape)) *
                                            uint64_t(DTypeSize(entry.dtype)));
    position = entry.end;
  }
  LH_CHECK(header.entries.empty() || position == file.size());
}

// The header anew, from what was read of it.
std::string Rewrite(std::string_view file, const SafetensorsHeader& header) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [key, value] : header.metadata) {
    json["__metadata__"][key] = value;
  }
  const uint64_t data =
      header.entries.empty() ? file.size() : header.entries.front().begin;
  for (const SafetensorsEntry& entry : header.entries) {
    json[entry.name] = {
        {"dtype", DTypeName(entry.dtype)},
        {"shape", std::vector<int64_t>(entry.shape.begin(), entry.shape.end())},
        {"data_offsets", {entry.begin - data, entry.end - data}}};
  }
  const std::string text = json.dump();
  const uint64_t length = text.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof(length));
  return absl::StrCat(bytes, text, std::string(file.substr(data)));
}

void CheckSameEntries(const SafetensorsHeader& a, const SafetensorsHeader& b) {
  LH_CHECK(a.metadata == b.metadata);
  LH_CHECK(a.entries.size() == b.entries.size());
  for (size_t i = 0; i < a.entries.size(); ++i) {
    LH_CHECK(a.entries[i].name == b.entries[i].name);
    LH_CHECK(a.entries[i].dtype == b.entries[i].dtype);
    LH_CHECK(a.entries[i].shape == b.entries[i].shape);
  }
}

// Reads every tensor as a layer would.
void LoadAll(const SafetensorsFile& file, const SafetensorsHeader& header) {
  LH_CHECK(file.names().size() == header.entries.size());
  const WeightScope scope(&file);
  for (const SafetensorsEntry& entry : header.entries) {
    const TensorView* view = file.Find(entry.name);
    LH_CHECK(view != nullptr && view->dtype == entry.dtype);
    LH_CHECK(view->data == file.bytes().data() + entry.begin);
    const auto floats = scope.LoadF32(entry.name, entry.shape);
    if (!floats.ok()) {
      CheckRefusal(floats.status(), {absl::StatusCode::kInvalidArgument});
      continue;
    }
    LH_CHECK(floats->size() == size_t(NumElements(entry.shape)));
    for (const float value : floats->span()) LH_CHECK(!std::isnan(value));
  }
}

void Open(std::string_view bytes, const SafetensorsHeader& header) {
  const int fd = memfd_create("weights", 0);
  LH_CHECK(fd >= 0);
  LH_CHECK(write(fd, bytes.data(), bytes.size()) == ssize_t(bytes.size()));
  const auto file = SafetensorsFile::Open(absl::StrCat("/proc/self/fd/", fd));
  close(fd);
  LH_CHECK(file.ok());
  LoadAll(**file, header);
}

void Run(std::string_view bytes) {
  MemoryMeter memory;
  const auto parse = [](std::string_view file) {
    return ParseSafetensorsHeader(
        {reinterpret_cast<const uint8_t*>(file.data()), file.size()});
  };
  const auto header = parse(bytes);
  memory.CheckProportional(bytes.size(), kMemoryFactor);
  if (!header.ok()) {
    CheckRefusal(header.status(), {absl::StatusCode::kInvalidArgument});
    return;
  }
  CheckHeader(bytes, *header);
  const auto again = parse(Rewrite(bytes, *header));
  LH_CHECK(again.ok());
  CheckSameEntries(*header, *again);
  Open(bytes, *header);
}

}  // namespace
}  // namespace longhand::testing

// First byte: 0 for a whole file; else a header text without its length, and so
// many bytes of data behind it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  longhand::testing::FuzzInput input(data, size);
  const auto tail = input.Number<uint8_t>();
  const std::string_view rest = input.Rest();
  if (tail == 0) {
    longhand::testing::Run(rest);
    return 0;
  }
  const uint64_t length = rest.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  file += rest;
  file.append(tail - 1u, '\x3f');
  longhand::testing::Run(file);
  return 0;
}
