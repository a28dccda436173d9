#include "core/model/sentence_config.h"

#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"

namespace longhand {
namespace {

constexpr uint64_t kMaxConfigBytes = uint64_t{1} << 20;

struct PoolingKey {
  const char* key;      // in 1_Pooling/config.json
  const char* pooling;  // ours, or null
};
constexpr PoolingKey kPoolingKeys[] = {
    {"pooling_mode_cls_token", "cls"},
    {"pooling_mode_mean_tokens", "mean"},
    {"pooling_mode_max_tokens", "max"},
    {"pooling_mode_mean_sqrt_len_tokens", nullptr},
    {"pooling_mode_weightedmean_tokens", nullptr},
    {"pooling_mode_lasttoken", nullptr},
};

absl::Status Unsupported(const std::string& file, const std::string& what) {
  return MakeError(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
                   absl::StrCat(file, ": ", what));
}

absl::StatusOr<nlohmann::json> ReadJson(const std::string& path) {
  LH_ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxConfigBytes));
  absl::StatusOr<nlohmann::json> json = ParseJson(text);
  if (!json.ok()) return WithContext(json.status(), "CONFIG_INVALID", path);
  return json;
}

absl::StatusOr<std::string> ReadPooling(const std::string& path) {
  LH_ASSIGN_OR_RETURN(nlohmann::json json, ReadJson(path));
  // Newer releases write one name instead of flags.
  if (json.contains("pooling_mode") && json["pooling_mode"].is_string()) {
    const std::string mode = json["pooling_mode"];
    for (const char* known : {"cls", "mean", "max"}) {
      if (mode == known) return mode;
    }
    return Unsupported(path, absl::StrCat("the pooling \"", mode,
                                          "\" is not supported; use a model "
                                          "with cls, mean or max pooling"));
  }
  std::vector<std::string> chosen;
  std::string pooling;
  for (const PoolingKey& entry : kPoolingKeys) {
    LH_ASSIGN_OR_RETURN(bool set, GetBool(json, entry.key, false));
    if (!set) continue;
    chosen.push_back(entry.key);
    if (entry.pooling != nullptr) pooling = entry.pooling;
  }
  if (chosen.size() != 1 || pooling.empty()) {
    return Unsupported(
        path, absl::StrCat("exactly one of cls, mean and max pooling must be "
                           "set; set are: ",
                           absl::StrJoin(chosen, ", ")));
  }
  return pooling;
}

// Module paths name a folder of the model directory and nothing else.
absl::Status CheckModulePath(const std::string& file, const std::string& path) {
  if (absl::StrContains(path, "/") || absl::StrContains(path, "..") ||
      absl::StrContains(path, std::string(1, '\0'))) {
    return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                     absl::StrCat(file,
                                  ": a module's \"path\" must be the name "
                                  "of a folder beside it"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SentenceConfig> ReadSentenceConfig(
    const std::string& directory) {
  const std::string file = directory + "/modules.json";
  absl::StatusOr<nlohmann::json> modules = ReadJson(file);
  if (absl::IsNotFound(modules.status())) return SentenceConfig{};
  if (!modules.ok()) return modules.status();
  if (!modules->is_array() || modules->empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                     absl::StrCat(file, ": an array of modules is expected"));
  }
  SentenceConfig config;
  for (const nlohmann::json& module : *modules) {
    LH_ASSIGN_OR_RETURN(std::string type, GetString(module, "type"));
    LH_ASSIGN_OR_RETURN(std::string path, GetString(module, "path", ""));
    LH_RETURN_IF_ERROR(CheckModulePath(file, path));
    // "sentence_transformers.models.Pooling", in newer releases with other
    // packages in between.
    const std::string name = type.substr(type.rfind('.') + 1);
    if (name == "Transformer") {
      if (!path.empty()) {
        return Unsupported(file,
                           "the Transformer module lies in a folder of "
                           "its own; serve that folder");
      }
    } else if (name == "Pooling") {
      LH_ASSIGN_OR_RETURN(
          config.pooling,
          ReadPooling(absl::StrCat(directory, "/", path, "/config.json")));
    } else if (name == "Normalize") {
      config.normalize = true;
    } else {
      return Unsupported(file, absl::StrCat("the module \"", type,
                                            "\" is not supported; Transformer, "
                                            "Pooling and Normalize are"));
    }
  }
  return config;
}

}  // namespace longhand
