#include "server/flag_group.h"

#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace longhand {
namespace {

constexpr double kMaxSeconds = 30.0 * 24 * 3600;

CLI::Option* FinishSize(CLI::Option* option, uint64_t min, uint64_t max) {
  return option
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true).description(""))
      ->check(Between(static_cast<double>(min), static_cast<double>(max)))
      ->type_name("SIZE");
}

std::string FormatSeconds(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  return absl::Seconds(seconds) == duration
             ? absl::StrCat(seconds)
             : absl::StrCat(absl::ToDoubleSeconds(duration));
}

std::string FormatSize(uint64_t bytes) {
  if (bytes == 0) return "0";
  for (auto [shift, unit] : {std::pair(30, "GiB"), {20, "MiB"}, {10, "KiB"}}) {
    if (bytes % (uint64_t{1} << shift) == 0) {
      return absl::StrCat(bytes >> shift, unit);
    }
  }
  return absl::StrCat(bytes);
}

}  // namespace

CLI::Validator Between(double min, double max) {
  return CLI::Validator(
      [min, max](std::string& text) -> std::string {
        double value = 0;
        if (absl::SimpleAtod(text, &value) && value >= min && value <= max) {
          return "";
        }
        return absl::StrCat(text, " is not a number from ", min, " to ", max);
      },
      "");
}

FlagGroup::FlagGroup(CLI::App* app, std::string name)
    : app_(app), name_(std::move(name)) {}

CLI::Option* FlagGroup::AddSize(const std::string& flag, uint64_t* value,
                                uint64_t min, uint64_t max,
                                const std::string& help) {
  return FinishSize(Add(flag, value, help), min, max)
      ->default_str(FormatSize(*value));
}

CLI::Option* FlagGroup::AddSize(const std::string& flag,
                                std::optional<uint64_t>* value, uint64_t min,
                                uint64_t max, const std::string& help) {
  return FinishSize(Add(flag, value, help), min, max);
}

CLI::Option* FlagGroup::AddDuration(const std::string& flag,
                                    absl::Duration* value, double min_seconds,
                                    const std::string& help) {
  return AddFunction(
             flag,
             [value](const std::string& text) {
               double seconds = 0;
               if (absl::SimpleAtod(text, &seconds)) {
                 *value = absl::Seconds(seconds);
               }
             },
             help)
      ->check(Between(min_seconds, kMaxSeconds))
      ->default_str(FormatSeconds(*value))
      ->type_name("SECONDS");
}

CLI::Option* FlagGroup::AddSeconds(const std::string& flag, double* value,
                                   double min, const std::string& help) {
  return AddWithDefault(flag, value, help)
      ->check(Between(min, kMaxSeconds))
      ->type_name("SECONDS");
}

CLI::Option* FlagGroup::AddInt(const std::string& flag, int* value, int min,
                               int max, const std::string& help) {
  return AddWithDefault(flag, value, help)
      ->check(Between(min, max))
      ->type_name("INT");
}

CLI::Option* FlagGroup::AddCount(const std::string& flag, uint64_t* value,
                                 uint64_t min, uint64_t max,
                                 const std::string& help) {
  return AddWithDefault(flag, value, help)
      ->check(Between(static_cast<double>(min), static_cast<double>(max)))
      ->type_name("INT");
}

CLI::Option* FlagGroup::AddBool(const std::string& flag, bool* value,
                                const std::string& help) {
  return Finish(flag, app_->add_flag(flag, *value, help));
}

CLI::Option* FlagGroup::Finish(const std::string& flag, CLI::Option* option) {
  std::string env = absl::AsciiStrToUpper(flag.substr(2));
  return option->take_last()->group(name_)->envname(
      absl::StrCat("LONGHAND_", absl::StrReplaceAll(env, {{"-", "_"}})));
}

}  // namespace longhand
