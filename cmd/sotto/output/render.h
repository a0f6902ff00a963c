// One answer in the five forms of -o: a table, a wide table, JSON, JSON lines, tab-separated
// values.
#ifndef SOTTO_CMD_SOTTO_OUTPUT_RENDER_H_
#define SOTTO_CMD_SOTTO_OUTPUT_RENDER_H_

#include <boost/json/value.hpp>
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "cmd/sotto/context.h"

namespace sotto::cli {

using RowText = std::function<std::string(const boost::json::value& row)>;

// One column of a list.
struct Field {
  std::string name;   // "RTT"
  RowText text;       // for people
  RowText raw;        // for tsv: seconds, plain numbers, nothing for unknown; null: as `text`
  bool wide = false;  // not in the plain table
  bool right = false;
  bool cut = false;
  RowText color;  // null: none
};

struct ListView {
  std::vector<Field> fields;
  std::string columns;  // "node,state": these fields only, in this order; empty: all that fit
  // Rows of one section stand together under its title; the title of the first may be empty.
  RowText section;
  std::vector<std::string> sections;
  // Lines below a row, for people.
  std::function<std::vector<std::string>(const boost::json::value& row)> notes;
  std::vector<std::string> footer;  // for people
  std::string empty;                // instead of a table without rows
};

// Prints `envelope`, whose data is a list. Exit code 0; 3 if the answer is not complete; 2 if
// `columns` names a field that is not there.
int PrintList(Context& context, const boost::json::value& envelope, const ListView& view);

// Prints `envelope`, whose data is one thing; `text` writes it for people.
int PrintOne(Context& context, const boost::json::value& envelope,
             const std::function<void(std::ostream& out)>& text);

// The end of every verb that only says that something is done: the sentence for people, the
// envelope for programs.
int PrintDone(Context& context, const boost::json::value& envelope, const std::string& sentence);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_OUTPUT_RENDER_H_
