// How weights become colours in the pictures of `longhand explain`. Pure
// functions; safe from any thread.
#ifndef LONGHAND_CLIENT_CLI_COLOR_SCALE_H_
#define LONGHAND_CLIENT_CLI_COLOR_SCALE_H_

#include <string>
#include <vector>

namespace longhand::client {

// Colours "#rrggbb" at even distances, dark to light, between which to
// interpolate linearly: viridis (Smith and van der Walt), which is perceptually
// uniform and readable with any kind of colour vision.
const std::vector<std::string>& ScaleColors();

// The colour at `position`, 0 to 1.
std::string ScaleColor(double position);

// The place of a weight on the scale: the square root of its share of `top`, so
// that small weights differ visibly; at most 1.
double ScalePosition(double weight, double top);

// The weight at the upper end: that which one in a hundred of the positive
// weights exceeds, so that a few large ones do not darken the rest; 1 if there
// are none. plane: [rows][columns]; `skip_diagonal` leaves out a chunk itself.
double ScaleTop(const std::vector<std::vector<float>>& plane,
                bool skip_diagonal);

// "0.0123": three significant digits.
std::string FormatWeight(double weight);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_COLOR_SCALE_H_
