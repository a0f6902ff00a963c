#include "cmd/sotto/output/table.h"

#include <libsmartcols/libsmartcols.h>

#include <cstdlib>
#include <memory>
#include <string_view>

#include "gossip/base/check.h"

namespace sotto::cli {
namespace {

struct TableDeleter {
  void operator()(libscols_table* table) const { scols_unref_table(table); }
};

std::vector<std::string> Split(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string line(text.substr(0, end));
    while (!line.empty() && line.back() == ' ') line.pop_back();
    lines.push_back(std::move(line));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

}  // namespace

std::vector<std::string> Table::Lines(bool headers, int width, bool color) const {
  std::unique_ptr<libscols_table, TableDeleter> table(scols_new_table());
  SOTTO_CHECK(table != nullptr);
  scols_table_set_column_separator(table.get(), "  ");
  scols_table_enable_noencoding(table.get(), 1);  // the cells are safe already
  scols_table_enable_noheadings(table.get(), headers ? 0 : 1);
  scols_table_enable_colors(table.get(), color ? 1 : 0);
  scols_table_set_termforce(table.get(),
                            width > 0 ? SCOLS_TERMFORCE_ALWAYS : SCOLS_TERMFORCE_NEVER);
  if (width > 0) scols_table_set_termwidth(table.get(), static_cast<size_t>(width));
  for (const TableColumn& column : columns_) {
    const int flags = (column.right ? SCOLS_FL_RIGHT : 0) | (column.cut ? SCOLS_FL_TRUNC : 0);
    SOTTO_CHECK(scols_table_new_column(table.get(), column.name.c_str(), 0, flags) != nullptr);
  }
  for (const std::vector<Cell>& row : rows_) {
    libscols_line* line = scols_table_new_line(table.get(), nullptr);
    SOTTO_CHECK(line != nullptr && row.size() == columns_.size());
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string& text = row[i].text;
      SOTTO_CHECK(scols_line_set_data(line, i, text.empty() ? "-" : text.c_str()) == 0);
      if (color && !row[i].color.empty()) {
        scols_cell_set_color(scols_line_get_cell(line, i), row[i].color.c_str());
      }
    }
  }
  // A table without rows prints nothing, not even its headings.
  if (rows_.empty()) return {};
  char* text = nullptr;
  SOTTO_CHECK(scols_print_table_to_string(table.get(), &text) == 0);
  const std::unique_ptr<char, decltype(&std::free)> owner(text, &std::free);
  return Split(text);
}

}  // namespace sotto::cli
