#include "client/cli/color_scale.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "absl/strings/str_format.h"

namespace longhand::client {
namespace {

// Red, green or blue of a colour, 0 to 255.
double Channel(const std::string& color, int channel) {
  return static_cast<double>(
      std::strtol(color.substr(1 + 2 * static_cast<size_t>(channel), 2).c_str(),
                  nullptr, 16));
}

}  // namespace

const std::vector<std::string>& ScaleColors() {
  static const auto* const kColors = new std::vector<std::string>{
      "#440154", "#470d60", "#48186a", "#482374", "#472d7b", "#453781",
      "#424086", "#3e4989", "#3b528b", "#375b8d", "#33638d", "#2f6b8e",
      "#2c728e", "#297a8e", "#26828e", "#23898e", "#21918c", "#1f978b",
      "#1f9f88", "#21a685", "#27ad81", "#31b57b", "#3dbc74", "#4cc26c",
      "#5cc863", "#6ece58", "#81d34d", "#95d840", "#aadc32", "#c0df25",
      "#d5e21a", "#eae51a", "#fde725"};
  return *kColors;
}

std::string ScaleColor(double position) {
  const std::vector<std::string>& colors = ScaleColors();
  const double place =
      std::clamp(position, 0.0, 1.0) * static_cast<double>(colors.size() - 1);
  const size_t lower = std::min(static_cast<size_t>(place), colors.size() - 2);
  const double part = place - static_cast<double>(lower);
  int rgb[3];
  for (int channel = 0; channel < 3; ++channel) {
    rgb[channel] = static_cast<int>(
        std::lround((1 - part) * Channel(colors[lower], channel) +
                    part * Channel(colors[lower + 1], channel)));
  }
  return absl::StrFormat("#%02x%02x%02x", rgb[0], rgb[1], rgb[2]);
}

double ScalePosition(double weight, double top) {
  return std::sqrt(std::clamp(weight / top, 0.0, 1.0));
}

double ScaleTop(const std::vector<std::vector<float>>& plane,
                bool skip_diagonal) {
  constexpr double kShare = 0.99;
  std::vector<float> weights;
  for (size_t row = 0; row < plane.size(); ++row) {
    for (size_t column = 0; column < plane[row].size(); ++column) {
      if (skip_diagonal && row == column) continue;
      if (plane[row][column] > 0) weights.push_back(plane[row][column]);
    }
  }
  if (weights.empty()) return 1;
  const auto place =
      weights.begin() + static_cast<ptrdiff_t>(std::ceil(
                            kShare * static_cast<double>(weights.size() - 1)));
  std::nth_element(weights.begin(), place, weights.end());
  return *place;
}

std::string FormatWeight(double weight) {
  return weight == 0 ? "0" : absl::StrFormat("%.3g", weight);
}

}  // namespace longhand::client
