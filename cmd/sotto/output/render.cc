#include "cmd/sotto/output/render.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cctype>
#include <ostream>

#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/table.h"
#include "cmd/sotto/output/text.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// What --columns says; on a name that is not there, the complaint is printed and false returned.
bool ChooseFields(Context& context, const ListView& view, bool all,
                  std::vector<const Field*>* chosen) {
  if (view.columns.empty()) {
    for (const Field& field : view.fields) {
      if (all || !field.wide) chosen->push_back(&field);
    }
    return true;
  }
  std::vector<std::string> names;
  for (const Field& field : view.fields) names.push_back(Lower(field.name));
  for (size_t at = 0; at <= view.columns.size();) {
    const size_t end = std::min(view.columns.find(',', at), view.columns.size());
    const std::string name = Lower(view.columns.substr(at, end - at));
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      const std::string near = Nearest(name, names);
      Complaint complaint{kExitUsage, "USAGE", "there is no column \"" + name + "\"", {}};
      if (!near.empty()) complaint.message += "; did you mean \"" + near + "\"?";
      complaint.Add(
          "do", "--columns " + [&] {
            std::string text;
            for (const std::string& known : names) text += (text.empty() ? "" : ",") + known;
            return text;
          }());
      context.Fail(complaint);
      return false;
    }
    chosen->push_back(&view.fields[static_cast<size_t>(found - names.begin())]);
    at = end + 1;
  }
  return true;
}

int CompleteOrNot(Context& context, const json::value& envelope) {
  const json::value& complete = Member(envelope, "complete");
  if (!complete.is_bool() || complete.get_bool()) return kExitOk;
  context.Note("note: the answer is not complete");
  return kExitPartial;
}

void PrintTsv(Context& context, const json::array& rows, const std::vector<const Field*>& fields) {
  const auto print = [&](const auto& text_of) {
    for (size_t i = 0; i < fields.size(); ++i) {
      if (i > 0) context.out() << '\t';
      context.out() << EscapeTsv(text_of(*fields[i]));
    }
    context.out() << '\n';
  };
  if (!context.flags().no_headers) print([](const Field& field) { return Lower(field.name); });
  for (const json::value& row : rows) {
    print([&](const Field& field) { return field.raw ? field.raw(row) : field.text(row); });
  }
}

void PrintTable(Context& context, const json::array& rows, const ListView& view,
                const std::vector<const Field*>& fields) {
  std::vector<TableColumn> columns;
  for (const Field* field : fields) columns.push_back({field->name, field->right, field->cut});
  Table table(std::move(columns));
  std::vector<const json::value*> order;
  const std::vector<std::string> sections =
      view.section ? view.sections : std::vector<std::string>{""};
  std::vector<size_t> section_ends;
  for (const std::string& section : sections) {
    for (const json::value& row : rows) {
      if (view.section && view.section(row) != section) continue;
      std::vector<Cell> cells;
      for (const Field* field : fields) {
        cells.push_back({Escape(field->text(row)), field->color ? field->color(row) : ""});
      }
      table.Add(std::move(cells));
      order.push_back(&row);
    }
    section_ends.push_back(order.size());
  }
  const bool headers = !context.flags().no_headers;
  const int width = context.streams().out_is_terminal ? context.streams().columns : 0;
  const std::vector<std::string> lines = table.Lines(headers, width, context.color_out());
  size_t line = 0;
  if (headers && !lines.empty()) context.out() << lines[line++] << '\n';
  size_t row = 0;
  for (size_t s = 0; s < sections.size(); ++s) {
    if (row < section_ends[s] && !sections[s].empty()) context.out() << '\n' << sections[s] << '\n';
    for (; row < section_ends[s]; ++row) {
      context.out() << lines[line++] << '\n';
      if (!view.notes) continue;
      for (const std::string& note : view.notes(*order[row])) {
        context.out() << "  " << Escape(note) << '\n';
      }
    }
  }
  if (order.empty() && !view.empty.empty()) context.out() << view.empty << '\n';
  for (const std::string& text : view.footer) context.out() << Escape(text) << '\n';
}

// "certificate.not_after <tab> 2026-12-12…", lists of plain values with commas.
void Flatten(std::ostream& out, const std::string& key, const json::value& value) {
  if (value.is_object() && !value.get_object().empty()) {
    for (const auto& [name, inner] : value.get_object()) {
      Flatten(out, key.empty() ? std::string(name) : key + "." + std::string(name), inner);
    }
    return;
  }
  std::string text;
  const bool plain_list =
      value.is_array() &&
      std::none_of(value.get_array().begin(), value.get_array().end(),
                   [](const json::value& item) { return item.is_structured(); });
  if (plain_list) {
    for (const json::value& item : value.get_array()) {
      text += (text.empty() ? "" : ",") + PlainOf(item);
    }
  } else {
    text = PlainOf(value);
  }
  out << EscapeTsv(key) << '\t' << EscapeTsv(text) << '\n';
}

}  // namespace

int PrintList(Context& context, const json::value& envelope, const ListView& view) {
  const Format format = context.format();
  const json::array& rows = ArrayOf(Member(envelope, "data"));
  std::vector<const Field*> fields;
  if (!ChooseFields(context, view, format != Format::kTable, &fields)) return kExitUsage;
  switch (format) {
    case Format::kJson:
      context.out() << JsonPretty(envelope) << '\n';
      break;
    case Format::kJsonl:
      for (const json::value& row : rows) context.out() << JsonLine(row) << '\n';
      break;
    case Format::kTsv:
      PrintTsv(context, rows, fields);
      break;
    case Format::kTable:
    case Format::kWide:
      PrintTable(context, rows, view, fields);
      break;
  }
  return CompleteOrNot(context, envelope);
}

int PrintOne(Context& context, const json::value& envelope,
             const std::function<void(std::ostream&)>& text) {
  const json::value& data = Member(envelope, "data");
  switch (context.format()) {
    case Format::kJson:
      context.out() << JsonPretty(envelope) << '\n';
      break;
    case Format::kJsonl:
      context.out() << JsonLine(data) << '\n';
      break;
    case Format::kTsv:
      Flatten(context.out(), "", data);
      break;
    case Format::kTable:
    case Format::kWide:
      text(context.out());
      break;
  }
  return CompleteOrNot(context, envelope);
}

int PrintDone(Context& context, const json::value& envelope, const std::string& sentence) {
  return PrintOne(context, envelope, [&](std::ostream& out) {
    if (!context.flags().quiet) out << Escape(sentence) << '\n';
  });
}

}  // namespace sotto::cli
