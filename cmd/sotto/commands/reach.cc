// sotto reach: who hears whom, each direction for itself, and what to look at where one fails.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

std::string LetterOf(const std::string& how) {
  return how == "udp" ? "u" : how == "tcp" ? "t" : how == "nothing" ? "x" : "-";
}

std::string Padded(const std::string& text, size_t width) {
  return text.size() >= width ? text : text + std::string(width - text.size(), ' ');
}

// Rows send, columns receive.
void PrintMatrix(const json::value& data, std::ostream& out) {
  std::vector<std::string> names;
  size_t width = 4;
  for (const json::value& name : ArrayOf(Member(data, "members"))) {
    names.push_back(Escape(TextOf(name)));
    width = std::max(width, names.back().size());
  }
  out << Padded("", width);
  for (const std::string& name : names) out << "  " << name;
  out << '\n';
  const json::value& rows = Member(data, "rows");
  for (const std::string& from : names) {
    const json::value& row = Member(rows, from);
    std::string line = Padded(from, width);
    for (const std::string& to : names) {
      const std::string letter = from == to        ? "."
                                 : row.is_object() ? LetterOf(TextOf(Member(row, to)))
                                                   : "?";
      const size_t left = (to.size() - 1) / 2;
      line += "  " + std::string(left, ' ') + letter + std::string(to.size() - left - 1, ' ');
    }
    out << line.substr(0, line.find_last_not_of(' ') + 1) << '\n';
  }
}

std::string NamesText(const json::value& list) {
  std::vector<std::string> names;
  for (const json::value& name : ArrayOf(list)) names.push_back(TextOf(name));
  return JoinWords(names);
}

void PrintReach(Context& context, const json::value& envelope, std::ostream& out) {
  const json::value& data = Member(envelope, "data");
  PrintMatrix(data, out);
  if (!context.flags().quiet) {
    out << "rows send, columns receive: u UDP answered, t TCP only, x nothing, - not asked yet, "
           "? no row\n";
  }
  for (const json::value& finding : ArrayOf(Member(data, "findings"))) {
    out << Escape(TextOf(Member(finding, "text"))) << '\n'
        << "  do      " << Escape(TextOf(Member(finding, "fix"))) << '\n';
  }
  const std::string silent = NamesText(Member(data, "silent"));
  if (!silent.empty()) out << Escape(silent) << " did not answer the question\n";
  const std::string differs = NamesText(Member(data, "differs"));
  if (!differs.empty()) {
    out << Escape(differs) << ": another table than here; ask again in a moment\n";
  }
}

void PrintRows(Context& context, const json::value& data, bool as_json) {
  for (const auto& [from, row] : ObjectOf(Member(data, "rows"))) {
    for (const auto& [to, how] : ObjectOf(row)) {
      if (as_json) {
        const json::object line{{"from", from}, {"to", to}, {"how", how}};
        context.out() << JsonLine(line) << '\n';
      } else {
        context.out() << EscapeTsv(std::string(from)) << '\t' << EscapeTsv(std::string(to)) << '\t'
                      << EscapeTsv(TextOf(how)) << '\n';
      }
    }
  }
}

int RunReach(Context& context) {
  auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  const double timeout_s = std::min(context.TimeoutOr(5), 60.0);
  client->set_timeout_s(timeout_s + 3);
  const auto envelope = client->Get("/v1/reach?timeout_s=" + std::to_string(timeout_s));
  if (!envelope.ok()) return context.Fail(envelope.status());
  const json::value& data = Member(*envelope, "data");
  int exit = kExitOk;
  if (context.format() == Format::kTsv || context.format() == Format::kJsonl) {
    if (context.format() == Format::kTsv && !context.flags().no_headers) {
      context.out() << "from\tto\thow\n";
    }
    PrintRows(context, data, context.format() == Format::kJsonl);
    exit = TrueOf(Member(*envelope, "complete")) ? kExitOk : kExitPartial;
  } else {
    exit = PrintOne(context, *envelope,
                    [&](std::ostream& out) { PrintReach(context, *envelope, out); });
  }
  return ArrayOf(Member(data, "findings")).empty() ? exit : kExitFailed;
}

}  // namespace

void AddReach(Verb& root) {
  Context& context = root.context();
  Verb verb = root.Sub("reach", "who hears whom, each direction and protocol; exit 1 on a fault");
  verb.Example("sotto reach", "a matrix, and a sentence for each fault: what to check")
      .Example("sotto reach -o tsv", "from, to, how: udp, tcp, nothing, not_asked")
      .Run([&context] { return RunReach(context); });
}

}  // namespace sotto::cli
