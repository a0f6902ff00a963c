#include "cmd/sotto/commands/member_list.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <ostream>
#include <utility>

#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/text.h"
#include "gossip/base/coded_error.h"
#include "gossip/member.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

constexpr char kGone[] = "no longer here:";

std::string StateOf(const json::value& row) { return TextOf(Member(row, "state")); }

bool IsHere(const json::value& row) {
  const std::string state = StateOf(row);
  return state != "dead" && state != "left" && state != "forgotten";
}

std::string SecondsText(const json::value& value) {
  const auto seconds = NumberOf(value);
  return seconds ? HumanDuration(*seconds) : "";
}

std::string JoinTexts(const json::value& texts, const char* separator) {
  std::string out;
  for (const json::value& text : ArrayOf(texts)) {
    if (!out.empty()) out += separator;
    out += TextOf(text);
  }
  return out;
}

Field Plain(std::string name, std::string key) {
  const RowText text = [key = std::move(key)](const json::value& row) {
    return PlainOf(Member(row, key));
  };
  return Field{.name = std::move(name), .text = text};
}

Field SecondsField(std::string name, const std::string& key) {
  return Field{.name = std::move(name),
               .text = [key](const json::value& row) { return SecondsText(Member(row, key)); },
               .raw = [key](const json::value& row) { return PlainOf(Member(row, key)); }};
}

std::vector<Field> MemberFields() {
  std::vector<Field> fields;
  fields.push_back(Plain("NODE", "name"));
  fields.back().raw = fields.back().text;
  fields.back().text = [](const json::value& row) {
    return TextOf(Member(row, "name")) + (TrueOf(Member(row, "self")) ? "*" : "");
  };
  fields.push_back({.name = "ADDRESS", .text = [](const json::value& row) {
                      return JoinTexts(Member(row, "addresses"), ",");
                    }});
  fields.push_back(Plain("STATE", "state"));
  fields.back().color = [](const json::value& row) -> std::string {
    const std::string state = StateOf(row);
    return state == "suspect" ? "yellow" : state == "dead" ? "red" : "";
  };
  fields.push_back(SecondsField("SINCE", "since_s"));
  fields.push_back(SecondsField("RTT", "rtt_s"));
  fields.push_back({.name = "TAGS",
                    .text = [](const json::value& row) { return TagsText(Member(row, "tags")); },
                    .cut = true});
  fields.push_back(
      {.name = "INCARNATION",
       .text = [](const json::value& row) { return IncarnationText(Member(row, "incarnation")); },
       .wide = true});
  fields.push_back(Plain("BOOT", "boot_id"));
  fields.back().wide = true;
  fields.push_back(
      {.name = "CERT",
       .text =
           [](const json::value& row) {
             const std::string until = TextOf(Member(row, "certificate_not_after"));
             if (until.empty()) return std::string();
             return TextOf(Member(row, "certificate_sha256")).substr(0, 12) + " until " +
                    until.substr(0, 10);
           },
       .raw = [](const json::value& row) { return TextOf(Member(row, "certificate_sha256")); },
       .wide = true});
  return fields;
}

std::vector<std::string> NotesOf(const json::value& row) {
  if (StateOf(row) != "suspect") return {};
  std::string text = "suspected";
  const std::string by = JoinTexts(Member(row, "suspected_by"), ", ");
  if (!by.empty()) text += " by " + by;
  const auto dies = NumberOf(Member(row, "dies_in_s"));
  if (dies) text += "; declared dead in " + HumanDuration(*dies) + " unless it answers";
  return {text};
}

std::string FooterOf(const json::value& envelope) {
  const json::array& rows = ArrayOf(Member(envelope, "data"));
  std::string states;
  for (const char* state : {"alive", "suspect", "dead", "left", "forgotten"}) {
    const auto count = std::count_if(rows.begin(), rows.end(),
                                     [&](const json::value& row) { return StateOf(row) == state; });
    if (count == 0) continue;
    states += (states.empty() ? "" : ", ") + std::to_string(count) + " " + state;
  }
  const bool has_self = std::any_of(
      rows.begin(), rows.end(), [](const json::value& row) { return TrueOf(Member(row, "self")); });
  return Plural(rows.size(), "member") + (states.empty() ? "" : " (" + states + ")") +
         ", seen from " + TextOf(Member(envelope, "observer")) + "." +
         (has_self ? " * this node" : "");
}

// One `key=value` of --filter.
absl::Status KeepMatching(const std::string& filter, json::array* rows) {
  const size_t equals = filter.find('=');
  const std::string key = filter.substr(0, equals);
  if (equals == std::string::npos ||
      (key != "state" && key != "name" && key.rfind("tag.", 0) != 0)) {
    return CodedError(absl::StatusCode::kInvalidArgument, "USAGE",
                      "--filter wants state=…, name=… or tag.KEY=…, got \"" + filter + "\"");
  }
  std::vector<std::string> wanted;
  for (size_t at = equals + 1; at <= filter.size();) {
    const size_t end = std::min(filter.find(',', at), filter.size());
    wanted.push_back(filter.substr(at, end - at));
    at = end + 1;
  }
  const std::vector<std::string> states = {"alive", "suspect", "dead", "left", "forgotten"};
  for (const std::string& word : wanted) {
    if (key != "state" || std::find(states.begin(), states.end(), word) != states.end()) continue;
    const std::string near = Nearest(word, states);
    return CodedError(
        absl::StatusCode::kInvalidArgument, "USAGE",
        "there is no state \"" + word + "\"; " +
            (near.empty() ? "there are " + JoinWords(states) : "did you mean \"" + near + "\"?"));
  }
  json::array kept;
  for (json::value& row : *rows) {
    const json::value& value =
        key.rfind("tag.", 0) == 0 ? Member(Member(row, "tags"), key.substr(4)) : Member(row, key);
    if (value.is_string() &&
        std::find(wanted.begin(), wanted.end(), TextOf(value)) != wanted.end()) {
      kept.push_back(std::move(row));
    }
  }
  *rows = std::move(kept);
  return absl::OkStatus();
}

// ", 0.4s later"; empty for the first.
std::string SinceText(const std::string& began, const std::string& at) {
  const auto from = ParseUtc(began), to = ParseUtc(at);
  if (!from || !to || *to <= *from) return "";
  return ", " + HumanDuration(static_cast<double>(*to - *from) / 1000) + " later";
}

std::string EndText(const json::value& one, const std::string& end, const std::string& began) {
  const auto from = ParseUtc(began), to = ParseUtc(TextOf(Member(one, "ended")));
  const std::string after =
      from && to ? " after " + HumanDuration(static_cast<double>(*to - *from) / 1000) : "";
  const std::string with = IncarnationText(Member(one, "answered_with"));
  if (end == "open") return "not over: it dies unless it answers";
  if (end == "refuted") {
    return "refuted" + after + (with.empty() ? "" : ": it answered with incarnation " + with);
  }
  if (end == "died") {
    return "declared dead" + after +
           (with.empty() ? "" : "; it lives: it came back with incarnation " + with);
  }
  if (end == "left") return "it left" + after;
  return "without effect" + after + ": it started anew, was forgotten, or its certificate ended";
}

// Why it was suspected, newest first; `out` stands after the member's own lines.
void PrintCases(const json::value& member, std::ostream& out) {
  const json::array& cases = ArrayOf(Member(member, "cases"));
  if (cases.empty()) {
    out << "nobody has suspected it, as far as this node remembers\n";
    return;
  }
  for (size_t i = cases.size(); i-- > 0;) {
    const json::value& one = cases[i];
    const std::string began = TextOf(Member(one, "began"));
    std::string head = began.size() > 23 ? began.substr(0, 10) + " " + began.substr(11, 12) : began;
    const std::string end = TextOf(Member(one, "end"));
    head += "  suspected at incarnation " + IncarnationText(Member(one, "incarnation"));
    out << '\n' << Escape(head) << '\n';
    for (const json::value& accuser : ArrayOf(Member(one, "accusers"))) {
      out << "  by " << Escape(TextOf(Member(accuser, "name")))
          << (TextOf(Member(accuser, "said")) == "dead" ? ", which calls it dead" : "")
          << SinceText(began, TextOf(Member(accuser, "heard"))) << ": "
          << Escape(TextOf(Member(accuser, "text"))) << '\n';
    }
    out << "  " << Escape(EndText(one, end, began)) << '\n';
  }
}

}  // namespace

std::string TagsText(const json::value& tags) {
  std::string out;
  for (const auto& [key, value] : ObjectOf(tags)) {
    if (!out.empty()) out += ',';
    out += std::string(key) + "=" + PlainOf(value);
  }
  return out;
}

std::string IncarnationText(const json::value& incarnation) {
  if (!incarnation.is_object()) return "";
  return std::to_string(CountOf(Member(incarnation, "boot_number"))) + "." +
         std::to_string(CountOf(Member(incarnation, "counter")));
}

ListView MembersView(const json::value& envelope, const std::string& columns) {
  ListView view;
  view.fields = MemberFields();
  view.columns = columns;
  view.section = [](const json::value& row) { return std::string(IsHere(row) ? "" : kGone); };
  view.sections = {"", kGone};
  view.notes = NotesOf;
  view.footer = {FooterOf(envelope)};
  return view;
}

absl::Status CheckMemberWord(const std::string& name) {
  if (IsValidMemberName(name)) return absl::OkStatus();
  return WithLine(CodedError(absl::StatusCode::kInvalidArgument, "USAGE",
                             "\"" + name + "\" is no member's name"),
                  "do", "sotto members ls");
}

absl::Status FilterMembers(const std::vector<std::string>& filters, json::value* envelope) {
  json::value* data = envelope->is_object() ? envelope->get_object().if_contains("data") : nullptr;
  if (data == nullptr || !data->is_array()) return absl::OkStatus();
  for (const std::string& filter : filters) {
    const absl::Status status = KeepMatching(filter, &data->get_array());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

void PrintMember(const json::value& member, std::ostream& out) {
  const auto line = [&](const char* label, const std::string& text) {
    std::string start = std::string("  ") + label;
    start.resize(16, ' ');
    out << start << (text.empty() ? "-" : Escape(text)) << '\n';
  };
  out << Escape(TextOf(Member(member, "name")))
      << (TrueOf(Member(member, "self")) ? " (this node)" : "") << '\n';
  line("state", StateOf(member) + " for " + SecondsText(Member(member, "since_s")));
  for (const std::string& note : NotesOf(member)) line("", note);
  line("addresses", JoinTexts(Member(member, "addresses"), ", "));
  line("round trip", SecondsText(Member(member, "rtt_s")));
  line("tags", TagsText(Member(member, "tags")));
  line("incarnation", IncarnationText(Member(member, "incarnation")) + " (boot number, counter)");
  line("boot id", TextOf(Member(member, "boot_id")));
  line("certificate", TextOf(Member(member, "certificate_sha256")));
  line("valid until", TextOf(Member(member, "certificate_not_after")));
  PrintCases(member, out);
}

}  // namespace sotto::cli
