#include "core/attention/retrieval_options.h"

#include <utility>

namespace longhand {
namespace {

constexpr std::pair<std::string_view, FeatureMap> kFeatureMaps[] = {
    {"elu", FeatureMap::kElu}, {"softmax", FeatureMap::kSoftmax}};
constexpr std::pair<std::string_view, Merge> kMerges[] = {
    {"gate", Merge::kGate},
    {"lse", Merge::kLse},
    {"balanced_lse", Merge::kBalancedLse}};

template <typename T, size_t kCount>
std::optional<T> Find(const std::pair<std::string_view, T> (&table)[kCount],
                      std::string_view name) {
  for (const auto& [known, value] : table) {
    if (known == name) return value;
  }
  return std::nullopt;
}

template <typename T, size_t kCount>
std::string_view NameOf(const std::pair<std::string_view, T> (&table)[kCount],
                        T wanted) {
  for (const auto& [name, value] : table) {
    if (value == wanted) return name;
  }
  return "";
}

template <typename T, size_t kCount>
std::vector<std::string_view> Names(
    const std::pair<std::string_view, T> (&table)[kCount]) {
  std::vector<std::string_view> names;
  for (const auto& entry : table) names.push_back(entry.first);
  return names;
}

}  // namespace

std::optional<FeatureMap> FeatureMapFromName(std::string_view name) {
  return Find(kFeatureMaps, name);
}
std::optional<Merge> MergeFromName(std::string_view name) {
  return Find(kMerges, name);
}
std::string_view FeatureMapName(FeatureMap features) {
  return NameOf(kFeatureMaps, features);
}
std::string_view MergeName(Merge merge) { return NameOf(kMerges, merge); }
std::vector<std::string_view> FeatureMapNames() { return Names(kFeatureMaps); }
std::vector<std::string_view> MergeNames() { return Names(kMerges); }

}  // namespace longhand
