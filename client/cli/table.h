// Tables and numbers for people. A Table belongs to one thread; the functions
// are pure.
#ifndef LONGHAND_CLIENT_CLI_TABLE_H_
#define LONGHAND_CLIENT_CLI_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace longhand::client {

// How the output looks at a file descriptor.
struct Terminal {
  bool is_tty = false;
  bool color = false;  // a terminal, and neither NO_COLOR nor TERM=dumb
  int width = 100;     // columns; 100 where there is no terminal
};

Terminal DescribeTerminal(int fd);

struct TableColumn {
  std::string title;
  bool right_aligned = false;
};

// Columns are as wide as their cells; the last one is cut to the width.
class Table {
 public:
  explicit Table(std::vector<TableColumn> columns);

  // One cell per column, of display lines (text_display.h).
  void AddRow(std::vector<std::string> cells);
  // A line of its own, not in columns.
  void AddNote(std::string line);
  std::string Render(const Terminal& terminal) const;

 private:
  struct Row {
    std::vector<std::string> cells;  // empty: a note
    std::string note;
  };
  std::string RenderCells(const std::vector<std::string>& cells,
                          const std::vector<int>& widths, int limit) const;

  std::vector<TableColumn> columns_;
  std::vector<Row> rows_;
};

// How many rows of `total` to show at either end so that `limit` are shown;
// limit < 0: all of them (tail 0).
struct ShownRows {
  size_t head = 0, tail = 0;
};
ShownRows ChooseRows(size_t total, int64_t limit);

std::string FormatCount(uint64_t count);          // "1,234,567"
std::string FormatBytes(uint64_t bytes);          // "1.5 MiB"
std::string FormatTime(absl::Duration duration);  // "12.3 ms"

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_TABLE_H_
