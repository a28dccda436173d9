#include "client/cli/table.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/text_display.h"

namespace longhand::client {
namespace {

constexpr int kMinLastColumn = 10;
constexpr char kBold[] = "\x1b[1m";
constexpr char kPlain[] = "\x1b[0m";

bool EnvironmentIsSet(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

}  // namespace

Terminal DescribeTerminal(int fd) {
  Terminal terminal;
  terminal.is_tty = isatty(fd) == 1;
  if (!terminal.is_tty) return terminal;
  winsize size = {};
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    terminal.width = size.ws_col;
  }
  const char* type = std::getenv("TERM");
  terminal.color = !EnvironmentIsSet("NO_COLOR") && type != nullptr &&
                   absl::string_view(type) != "dumb";
  return terminal;
}

Table::Table(std::vector<TableColumn> columns) : columns_(std::move(columns)) {}

void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back({std::move(cells), ""});
}

void Table::AddNote(std::string line) {
  rows_.push_back({{}, std::move(line)});
}

std::string Table::RenderCells(const std::vector<std::string>& cells,
                               const std::vector<int>& widths,
                               int limit) const {
  std::string line;
  int used = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    const bool last = i + 1 == cells.size();
    if (last && !columns_[i].right_aligned) {
      absl::StrAppend(
          &line, FitWidth(cells[i], std::max(limit - used, kMinLastColumn)));
      break;
    }
    const std::string padding(widths[i] - DisplayWidth(cells[i]), ' ');
    absl::StrAppend(&line, columns_[i].right_aligned ? padding : "", cells[i],
                    columns_[i].right_aligned ? "" : padding, last ? "" : "  ");
    used += widths[i] + 2;
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

std::string Table::Render(const Terminal& terminal) const {
  std::vector<std::string> titles;
  std::vector<int> widths;
  for (const TableColumn& column : columns_) {
    titles.push_back(column.title);
    widths.push_back(DisplayWidth(column.title));
  }
  for (const Row& row : rows_) {
    for (size_t i = 0; i < row.cells.size(); ++i) {
      widths[i] = std::max(widths[i], DisplayWidth(row.cells[i]));
    }
  }
  std::string text = RenderCells(titles, widths, terminal.width);
  if (terminal.color) text = absl::StrCat(kBold, text, kPlain);
  text += '\n';
  for (const Row& row : rows_) {
    absl::StrAppend(&text,
                    row.cells.empty()
                        ? row.note
                        : RenderCells(row.cells, widths, terminal.width),
                    "\n");
  }
  return text;
}

ShownRows ChooseRows(size_t total, int64_t limit) {
  if (limit < 0 || total <= static_cast<size_t>(limit)) return {total, 0};
  const size_t shown = static_cast<size_t>(limit);
  return {shown - shown / 2, shown / 2};
}

std::string FormatCount(uint64_t count) {
  const std::string digits = absl::StrCat(count);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string FormatBytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return absl::StrCat(bytes, " B");
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string FormatTime(absl::Duration duration) {
  const double seconds = absl::ToDoubleSeconds(duration);
  if (seconds < 1e-3) return absl::StrFormat("%.0f us", seconds * 1e6);
  if (seconds < 1) return absl::StrFormat("%.1f ms", seconds * 1e3);
  if (seconds < 120) return absl::StrFormat("%.2f s", seconds);
  const int64_t whole = absl::ToInt64Seconds(duration);
  if (whole < 3600) return absl::StrFormat("%d:%02d", whole / 60, whole % 60);
  return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60,
                         whole % 60);
}

}  // namespace longhand::client
