#include "client/cli/explain_svg.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/color_scale.h"
#include "client/cli/table.h"
#include "client/cli/text_display.h"

namespace longhand::client {
namespace {

// In pixels.
constexpr double kMapSize = 800;
constexpr double kMinCell = 2;
constexpr double kMaxCell = 28;
constexpr double kRowWordsWidth = 165;
constexpr double kColumnWordsWidth = 120;
constexpr double kCharacterWidth = 6.8;  // of the labels' digits, at most
constexpr double kHeadHeight = 75;
constexpr double kRight = 40;
constexpr double kBottom = 110;
constexpr double kLineHeight = 15;  // between labels, at least
constexpr double kLegendWidth = 260;
// In columns of text.
constexpr int kRowWords = 24;
constexpr int kColumnWords = 18;
constexpr int kTitleColumns = 90;
constexpr int kNoteColumns = 160;

constexpr int kLevels = 128;  // colours that cells are rounded to

constexpr char kStyle[] = R"(
  text { font: 11px system-ui, sans-serif; fill: #1c1c1c; }
  .title { font-size: 17px; font-weight: 600; }
  .note, .words { fill: #55534e; }
  .page { fill: #ffffff; }
  .frame { fill: none; stroke: #6f6d66; }
  .hatch { stroke: #d9d7d0; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0efea; }
    .note, .words { fill: #b9b6ad; }
    .page { fill: #1b1b19; }
    .frame { stroke: #96938a; }
    .hatch { stroke: #45433e; }
  }
)";

double CellSize(size_t rows) {
  const double fitting =
      kMapSize / static_cast<double>(std::max<size_t>(rows, 1));
  return std::clamp(std::floor(fitting * 2) / 2, kMinCell, kMaxCell);
}

std::string ChunkName(const MapGroup& group) {
  if (group.end_chunk - group.first_chunk <= 1) {
    return absl::StrCat(group.first_chunk);
  }
  return absl::StrCat(group.first_chunk, "-", group.end_chunk - 1);
}

std::string Text(double x, double y, absl::string_view attributes,
                 absl::string_view text) {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\"%s%s>%s</text>\n", x, y,
                         attributes.empty() ? "" : " ", attributes,
                         EscapeMarkup(text));
}

// Upwards from (x, y). `attributes` end with a space.
std::string Turned(double x, double y, absl::string_view attributes,
                   absl::string_view text) {
  return Text(x, y,
              absl::StrFormat("%stransform=\"rotate(-90 %.1f %.1f)\"",
                              attributes, x, y),
              text);
}

class Drawing {
 public:
  explicit Drawing(const MapPicture& picture)
      : picture_(picture),
        rows_(picture.plane.size()),
        cell_(CellSize(rows_)),
        size_(cell_ * static_cast<double>(rows_)),
        top_(ScaleTop(picture.plane, picture.single_chunks)) {
    size_t longest = 0;
    for (const MapGroup& group : picture.groups) {
      starts_.push_back(absl::StrCat(group.first_chunk, " · ",
                                     FormatCount(group.begin_byte)));
      longest = std::max(longest, starts_.back().size());
    }
    start_width_ = 10 + kCharacterWidth * static_cast<double>(longest);
    left_ = std::ceil(16 + kRowWordsWidth + start_width_) + 8;
    upper_ = std::ceil(kHeadHeight + kColumnWordsWidth + start_width_) + 8;
  }

  std::string Draw() {
    const double width = std::max(left_ + size_ + kRight, 760.0);
    const double height = upper_ + size_ + kBottom;
    absl::StrAppendFormat(
        &svg_,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" "
        "height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
        "aria-labelledby=\"title desc\">\n",
        width, height, width, height);
    absl::StrAppend(&svg_, "<title id=\"title\">", EscapeMarkup(picture_.title),
                    "</title>\n<desc id=\"desc\">", EscapeMarkup(Describe()),
                    "</desc>\n<style>", kStyle, "</style>\n");
    absl::StrAppend(
        &svg_,
        "<defs><pattern id=\"unseen\" width=\"6\" height=\"6\" "
        "patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">"
        "<line class=\"hatch\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" "
        "stroke-width=\"2\"/></pattern></defs>\n"
        "<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n");
    DrawHead();
    DrawLabels();
    DrawCells();
    DrawLegend();
    absl::StrAppend(&svg_, "</svg>\n");
    return std::move(svg_);
  }

 private:
  // For those who cannot see the picture.
  std::string Describe() const {
    std::string text = absl::StrCat(
        "A square of ", rows_,
        " rows and columns. A row is the text that "
        "retrieves, a column what it retrieves from; the colour of a cell is "
        "the weight. The largest weights:");
    std::vector<std::tuple<float, size_t, size_t>> cells;
    for (size_t row = 0; row < rows_; ++row) {
      for (size_t i = 0; i < picture_.plane[row].size(); ++i) {
        if (picture_.plane[row][i] > 0) {
          cells.emplace_back(-picture_.plane[row][i], row, i);
        }
      }
    }
    const size_t shown = std::min<size_t>(cells.size(), 5);
    std::partial_sort(cells.begin(),
                      cells.begin() + static_cast<ptrdiff_t>(shown),
                      cells.end());
    for (size_t i = 0; i < shown; ++i) {
      const auto& [weight, row, column] = cells[i];
      absl::StrAppend(&text, i == 0 ? " " : "; ", "chunk ",
                      ChunkName(picture_.groups[row]), " from ",
                      ChunkName(picture_.groups[column]), " ",
                      FormatWeight(-weight));
    }
    return absl::StrCat(text, shown == 0 ? " none." : ".");
  }

  void DrawHead() {
    double y = 28;
    absl::StrAppend(&svg_, Text(16, y, "class=\"title\"",
                                FitWidth(picture_.title, kTitleColumns)));
    for (const std::string& note : picture_.notes) {
      y += 18;
      absl::StrAppend(
          &svg_, Text(16, y, "class=\"note\"", FitWidth(note, kNoteColumns)));
    }
    absl::StrAppend(&svg_, Text(16, upper_ - 26, "class=\"note\"",
                                "rows: the chunk that retrieves"));
    absl::StrAppend(&svg_, Text(16, upper_ - 11, "class=\"note\"",
                                "columns: what it retrieves from"));
  }

  // Where a chunk begins next to the cells, its first words beyond.
  void DrawLabels() {
    const auto step = static_cast<size_t>(std::ceil(kLineHeight / cell_));
    for (size_t i = 0; i < rows_; i += step) {
      const std::string& start = starts_[i];
      const double middle = (static_cast<double>(i) + 0.5) * cell_;
      const double y = upper_ + middle + 4;
      absl::StrAppend(&svg_, Text(16, y, "class=\"words\"",
                                  FitWidth(picture_.words[i], kRowWords)));
      absl::StrAppend(&svg_, Text(left_ - 8, y, "text-anchor=\"end\"", start));
      const double x = left_ + middle + 4;
      absl::StrAppend(&svg_, Turned(x, upper_ - 8, "", start),
                      Turned(x, upper_ - 8 - start_width_, "class=\"words\" ",
                             FitWidth(picture_.words[i], kColumnWords)));
    }
  }

  int Level(size_t row, size_t column) const {
    if (picture_.single_chunks && row == column) return -1;
    return static_cast<int>(std::lround(
        (kLevels - 1) * ScalePosition(picture_.plane[row][column], top_)));
  }

  // One path per colour, of runs of cells.
  void DrawCells() {
    std::map<int, std::string> paths;
    std::string unseen;
    for (size_t row = 0; row < rows_; ++row) {
      const size_t columns = picture_.plane[row].size();
      for (size_t begin = 0; begin < columns;) {
        const int level = Level(row, begin);
        size_t end = begin + 1;
        while (end < columns && Level(row, end) == level) ++end;
        absl::StrAppend(level < 0 ? &unseen : &paths[level], "M", begin, " ",
                        row, "h", end - begin, "v1h-", end - begin, "z");
        begin = end;
      }
      if (columns < rows_) {
        absl::StrAppend(&unseen, "M", columns, " ", row, "h", rows_ - columns,
                        "v1h-", rows_ - columns, "z");
      }
    }
    absl::StrAppendFormat(
        &svg_,
        "<g shape-rendering=\"crispEdges\" transform=\"translate(%.1f %.1f) "
        "scale(%.4g)\">\n",
        left_, upper_, cell_);
    for (const auto& [level, path] : paths) {
      absl::StrAppend(&svg_, "<path fill=\"",
                      ScaleColor(level / double{kLevels - 1}), "\" d=\"", path,
                      "\"/>\n");
    }
    absl::StrAppend(&svg_, "</g>\n");
    if (!unseen.empty()) DrawUnseen(unseen);
    absl::StrAppendFormat(&svg_,
                          "<rect class=\"frame\" x=\"%.1f\" y=\"%.1f\" "
                          "width=\"%.1f\" height=\"%.1f\"/>\n",
                          left_, upper_, size_, size_);
  }

  // Hatched without regard to the cells' size.
  void DrawUnseen(const std::string& path) {
    absl::StrAppendFormat(
        &svg_,
        "<clipPath id=\"blank\"><path transform=\"translate(%.1f %.1f) "
        "scale(%.4g)\" d=\"%s\"/></clipPath>\n"
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
        "fill=\"url(#unseen)\" clip-path=\"url(#blank)\"/>\n",
        left_, upper_, cell_, path, left_, upper_, size_, size_);
  }

  void DrawLegend() {
    const double y = upper_ + size_ + 40;
    absl::StrAppend(&svg_, "<defs><linearGradient id=\"scale\">");
    const std::vector<std::string>& colors = ScaleColors();
    for (size_t i = 0; i < colors.size(); ++i) {
      absl::StrAppendFormat(
          &svg_, "<stop offset=\"%.4f\" stop-color=\"%s\"/>",
          static_cast<double>(i) / static_cast<double>(colors.size() - 1),
          colors[i]);
    }
    absl::StrAppendFormat(
        &svg_,
        "</linearGradient></defs>\n<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
        "height=\"12\" fill=\"url(#scale)\"/>\n",
        left_, y, kLegendWidth);
    absl::StrAppend(&svg_,
                    Text(left_, y - 7, "", "weight (square-root scale)"));
    constexpr int kTicks = 4;
    for (int tick = 0; tick <= kTicks; ++tick) {
      const double position = tick / double{kTicks};
      absl::StrAppend(
          &svg_, Text(left_ + position * kLegendWidth, y + 27,
                      "text-anchor=\"middle\"",
                      absl::StrCat(tick == kTicks ? "≥ " : "",
                                   FormatWeight(position * position * top_))));
    }
    DrawUnseenLegend(left_ + kLegendWidth + 40, y);
  }

  void DrawUnseenLegend(double x, double y) {
    const bool causal = rows_ > 1 && picture_.plane[0].size() < rows_;
    if (!causal && !picture_.single_chunks) return;
    const std::string box = absl::StrFormat(
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"22\" height=\"12\"", x, y);
    absl::StrAppend(
        &svg_, box, " fill=\"url(#unseen)\"/>\n", box, " class=\"frame\"/>\n",
        Text(x + 30, y + 10, "",
             !causal                  ? "a chunk itself"
             : picture_.single_chunks ? "not seen: it comes later, or itself"
                                      : "not seen: it comes later"));
  }

  const MapPicture& picture_;
  const size_t rows_;
  const double cell_;  // pixels
  const double size_;
  const double top_;  // of the scale
  // The labels: "chunk · first byte" and their width.
  std::vector<std::string> starts_;
  double start_width_ = 0;
  // Of the cells' corner.
  double left_ = 0, upper_ = 0;
  std::string svg_;
};

}  // namespace

std::string EscapeMarkup(absl::string_view text) {
  std::string escaped;
  for (size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      case '\xEF':
        // U+FFFE and U+FFFF.
        if (absl::StartsWith(text.substr(i), "\xEF\xBF\xBE") ||
            absl::StartsWith(text.substr(i), "\xEF\xBF\xBF")) {
          escaped += "\xEF\xBF\xBD";
          i += 2;
          break;
        }
        [[fallthrough]];
      default:
        escaped += text[i];
    }
  }
  return escaped;
}

std::string DrawSvg(const MapPicture& picture) {
  return Drawing(picture).Draw();
}

}  // namespace longhand::client
