// How the server declares its flags: in groups, each flag --some-name also as
// the environment variable LONGHAND_SOME_NAME. They write into the given
// values, which must outlive the parsing.
#ifndef LONGHAND_SERVER_FLAG_GROUP_H_
#define LONGHAND_SERVER_FLAG_GROUP_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "CLI/App.hpp"
#include "absl/time/time.h"
#include "core/engine/encode_types.h"

namespace longhand {

// Unlike CLI::Range, refuses NaN.
CLI::Validator Between(double min, double max);

class FlagGroup {
 public:
  FlagGroup(CLI::App* app, std::string name);

  template <typename T>
  CLI::Option* Add(const std::string& flag, T* value, const std::string& help) {
    return Finish(flag, app_->add_option(flag, *value, help));
  }

  template <typename T>
  CLI::Option* AddWithDefault(const std::string& flag, T* value,
                              const std::string& help) {
    return Add(flag, value, help)->capture_default_str();
  }

  // For values that are not one of the above: `set` gets the text.
  CLI::Option* AddFunction(const std::string& flag,
                           const std::function<void(const std::string&)>& set,
                           const std::string& help) {
    return Finish(flag, app_->add_option_function(flag, set, help));
  }

  CLI::Option* AddSize(const std::string& flag, uint64_t* value, uint64_t min,
                       uint64_t max, const std::string& help);
  // Without a default, which `help` should state.
  CLI::Option* AddSize(const std::string& flag, std::optional<uint64_t>* value,
                       uint64_t min, uint64_t max, const std::string& help);
  CLI::Option* AddDuration(const std::string& flag, absl::Duration* value,
                           double min_seconds, const std::string& help);
  CLI::Option* AddSeconds(const std::string& flag, double* value, double min,
                          const std::string& help);
  CLI::Option* AddInt(const std::string& flag, int* value, int min, int max,
                      const std::string& help);
  // A count that an int may not hold.
  CLI::Option* AddCount(const std::string& flag, uint64_t* value, uint64_t min,
                        uint64_t max, const std::string& help);
  CLI::Option* AddBool(const std::string& flag, bool* value,
                       const std::string& help);

 private:
  CLI::Option* Finish(const std::string& flag, CLI::Option* option);

  CLI::App* app_;
  std::string name_;
};

// The flags --default-*: what a request leaves open.
void AddDefaultFlags(CLI::App* app, EncodeOptions* defaults);

}  // namespace longhand

#endif  // LONGHAND_SERVER_FLAG_GROUP_H_
