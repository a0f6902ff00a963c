// sotto explain: what a code means, why it happens, what to do. Works offline.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/commands/event_text.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"
#include "gossip/base/codes.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

json::string Text(std::string_view text) { return json::string(text.data(), text.size()); }

int ListCodes(Context& context, const std::string& columns) {
  json::array rows;
  for (const CodeInfo& info : AllCodes()) {
    rows.push_back({{"code", Text(info.code)},
                    {"what", Text(info.what)},
                    {"why", Text(info.why)},
                    {"fix", Text(info.fix)}});
  }
  ListView view;
  view.columns = columns;
  const auto add = [&](const char* name, const char* key, bool wide) {
    view.fields.push_back(
        {.name = name,
         .text = [key](const json::value& row) { return TextOf(Member(row, key)); },
         .wide = wide,
         .cut = std::string_view(key) != "code"});
  };
  add("CODE", "code", false);
  add("WHAT", "what", false);
  add("WHY", "why", true);
  add("DO", "fix", true);
  return PrintList(context, LocalEnvelope("sotto.codes/1", std::move(rows)), view);
}

int ExplainEvents(Context& context) {
  json::array rows;
  for (const EventWord& word : EventWords()) {
    rows.push_back({{"event", word.word}, {"meaning", word.meaning}});
  }
  ListView view;
  view.fields.push_back({.name = "EVENT", .text = [](const json::value& row) {
                           return TextOf(Member(row, "event"));
                         }});
  view.fields.push_back({.name = "MEANING", .text = [](const json::value& row) {
                           return TextOf(Member(row, "meaning"));
                         }});
  return PrintList(context, LocalEnvelope("sotto.event_words/1", std::move(rows)), view);
}

// `text` broken at spaces, each line after the first indented like it.
void PrintWrapped(std::ostream& out, const char* label, std::string_view text, size_t columns) {
  constexpr size_t kIndent = 8;
  const size_t width = columns > kIndent + 20 ? columns - kIndent : 20;
  std::string head = label;
  head.resize(kIndent, ' ');
  out << head;
  size_t used = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (used > 0 && used + 1 + word.size() > width) {
      out << '\n' << std::string(kIndent, ' ');
      used = 0;
    }
    if (used > 0) out << ' ';
    out << word;
    used += (used > 0 ? 1 : 0) + word.size();
  }
  out << '\n';
}

int ExplainCode(Context& context, const std::string& code) {
  const CodeInfo* info = FindCode(code);
  if (info == nullptr) {
    Complaint complaint{kExitFailed, "CODE_UNKNOWN", "there is no code \"" + code + "\"", {}};
    const std::string near(NearestCode(code));
    if (near.empty()) return context.Fail(complaint.Add("do", "sotto explain"));
    complaint.message += "; did you mean \"" + near + "\"?";
    return context.Fail(complaint.Add("do", "sotto explain " + near));
  }
  const json::value envelope = LocalEnvelope("sotto.code/1", {{"code", Text(info->code)},
                                                              {"what", Text(info->what)},
                                                              {"why", Text(info->why)},
                                                              {"fix", Text(info->fix)}});
  return PrintOne(context, envelope, [&](std::ostream& out) {
    const size_t columns = std::min<size_t>(static_cast<size_t>(context.streams().columns), 100);
    out << info->code << '\n';
    PrintWrapped(out, "  what", info->what, columns);
    PrintWrapped(out, "  why", info->why, columns);
    PrintWrapped(out, "  do", info->fix, columns);
  });
}

}  // namespace

void AddExplain(Verb& root) {
  Context& context = root.context();
  struct Flags {
    std::string code, columns;
  };
  const auto flags = std::make_shared<Flags>();
  Verb verb = root.Sub("explain", "what a code means, why it happens, what to do");
  verb.Word("CODE", &flags->code, false, "as it stands in an error or a log; none: list them all")
      .Text("--columns", &flags->columns, "A,B", "of the list: code, what, why, do")
      .Example("sotto explain KEY_BAD_LENGTH", "one page, offline")
      .Example("sotto explain events", "the words of `sotto events`")
      .Run([&context, flags] {
        if (flags->code.empty()) return ListCodes(context, flags->columns);
        if (flags->code == "events") return ExplainEvents(context);
        return ExplainCode(context, flags->code);
      });
}

}  // namespace sotto::cli
