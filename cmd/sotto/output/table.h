// Rows under headings, aligned and cut to the terminal's width (libsmartcols).
#ifndef SOTTO_CMD_SOTTO_OUTPUT_TABLE_H_
#define SOTTO_CMD_SOTTO_OUTPUT_TABLE_H_

#include <string>
#include <vector>

namespace sotto::cli {

struct TableColumn {
  std::string name;
  bool right = false;  // numbers
  bool cut = false;    // may lose its end where the terminal is narrow
};

struct Cell {
  std::string text;   // without control characters; empty shows as "-"
  std::string color;  // "red", "yellow", "green", or empty
};

class Table {
 public:
  explicit Table(std::vector<TableColumn> columns) : columns_(std::move(columns)) {}

  void Add(std::vector<Cell> cells) { rows_.push_back(std::move(cells)); }

  // One line for each row, after the headings' line if `headers`. `width` 0: as wide as it needs.
  std::vector<std::string> Lines(bool headers, int width, bool color) const;

 private:
  std::vector<TableColumn> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_OUTPUT_TABLE_H_
