// sotto keys ls, history, verify: the cluster's keys, who holds them, what was done.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/keys.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/rotation/rotation_text.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

// The daemon asks members for 2 s and its database for 5 s.
constexpr double kLookTimeoutS = 10;
constexpr size_t kNamesMax = 4;

std::string Upper(std::string text) {
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return text;
}

Field Plain(const char* name, const char* key, bool wide = false) {
  return {.name = name,
          .text = [key](const json::value& row) { return PlainOf(Member(row, key)); },
          .wide = wide};
}

Field Minutes(const char* name, const char* key, bool wide) {
  Field field = Plain(name, key, wide);
  field.raw = field.text;
  field.text = [key](const json::value& row) { return MinuteText(TextOf(Member(row, key))); };
  return field;
}

Field PartOfKnown(const char* name, const char* key) {
  Field field = Plain(name, key);
  field.raw = field.text;
  field.text = [key](const json::value& row) {
    const json::value& part = Member(row, key);
    return part.is_null() ? std::string() : PlainOf(part) + " of " + PlainOf(Member(row, "known"));
  };
  return field;
}

// "missing: gw-6 (dead), gw-3 (KEK_MISSING)".
std::string MissingText(const json::value& row) {
  std::string text;
  const json::array& missing = ArrayOf(Member(row, "missing"));
  for (size_t i = 0; i < missing.size(); ++i) {
    if (i + 1 >= kNamesMax && missing.size() > kNamesMax) {
      return text + " and " + std::to_string(missing.size() - i) + " more";
    }
    const std::string trouble = TextOf(Member(missing[i], "trouble"));
    const std::string state = TextOf(Member(missing[i], "state"));
    const bool lives = state == "alive" || state == "suspect";
    text += (i == 0 ? "missing: " : ", ") + TextOf(Member(missing[i], "name")) + " (" +
            (lives && !trouble.empty() ? trouble
             : state.empty()           ? "not in gossip"
                                       : state) +
            ")";
  }
  return text;
}

std::string NoteText(const json::value& row) {
  const std::string state = TextOf(Member(row, "state"));
  std::vector<std::string> notes;
  const std::string until = TextOf(Member(row, "retire_at"));
  if (state == "retired" && !until.empty()) notes.push_back("until " + MinuteText(until));
  if (state == "removed" && !until.empty()) notes.push_back("since " + MinuteText(until));
  if (state == "prepared" && TrueOf(Member(row, "automatic")))
    notes.emplace_back("goes on by itself");
  const std::string missing = MissingText(row);
  if (!missing.empty()) notes.push_back(missing);
  const json::value& here = Member(row, "held_here");
  if (state != "removed" && here.is_bool() && !here.get_bool()) notes.emplace_back("not held here");
  std::string text;
  for (const std::string& note : notes) text += (text.empty() ? "" : "; ") + note;
  return text;
}

int ListKeys(Context& context, bool removed) {
  auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  client->set_timeout_s(context.TimeoutOr(kLookTimeoutS));
  const auto envelope = client->Get(removed ? "/v1/keys?ask=1&removed=1" : "/v1/keys?ask=1");
  if (!envelope.ok()) return context.Fail(envelope.status());
  ListView view;
  view.fields.push_back(Plain("GEN", "generation"));
  view.fields.push_back(Plain("FINGERPRINT", "id"));
  view.fields.push_back(Plain("STATE", "state"));
  view.fields.back().raw = view.fields.back().text;
  view.fields.back().text = [](const json::value& row) {
    return Upper(TextOf(Member(row, "state")));
  };
  view.fields.push_back(PartOfKnown("HELD BY", "held_by"));
  view.fields.push_back(PartOfKnown("SEALS FOR", "seals_for"));
  view.fields.push_back(Minutes("CREATED", "created_at", false));
  view.fields.push_back(Minutes("ACTIVATED", "activated_at", true));
  view.fields.push_back(Plain("BY", "actor", true));
  view.fields.push_back(Plain("ALGORITHM", "algorithm", true));
  view.fields.push_back(Plain("KEK", "kek", true));
  view.fields.push_back(
      {.name = "FRAMES SEALED",
       .text =
           [](const json::value& row) {
             const json::value& count = Member(row, "frames_sealed");
             return count.is_null() ? std::string() : HumanCount(CountOf(count));
           },
       .raw = [](const json::value& row) { return PlainOf(Member(row, "frames_sealed")); },
       .right = true});
  view.fields.push_back({.name = "NOTE", .text = NoteText, .cut = true});
  view.empty = "no key is held";
  return PrintList(context, *envelope, view);
}

int RunHistory(Context& context, int64_t limit) {
  auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  client->set_timeout_s(context.TimeoutOr(kLookTimeoutS));
  const auto envelope = client->Get("/v1/keys/history?limit=" + std::to_string(limit));
  if (!envelope.ok()) return context.Fail(envelope.status());
  ListView view;
  view.fields.push_back(Plain("AT", "at"));
  view.fields.back().raw = view.fields.back().text;
  view.fields.back().text = [](const json::value& row) {
    const std::string at = TextOf(Member(row, "at"));
    return ParseUtc(at) ? at.substr(0, 10) + " " + at.substr(11, 8) : at;
  };
  view.fields.push_back(Plain("ACTION", "action"));
  view.fields.push_back(Plain("GEN", "generation"));
  view.fields.push_back(Plain("FINGERPRINT", "id"));
  view.fields.push_back(Plain("BY", "actor"));
  view.fields.push_back(Plain("DETAIL", "detail"));
  view.fields.back().cut = true;
  view.empty = "nothing was ever done to this cluster's keys";
  return PrintList(context, *envelope, view);
}

int RunVerify(Context& context, bool repair) {
  auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  client->set_timeout_s(context.TimeoutOr(15));
  const auto envelope = client->Post("/v1/keys/verify", json::object{{"repair", repair}});
  if (!envelope.ok()) return context.Fail(envelope.status());
  const json::array& checks = ArrayOf(Member(*envelope, "data"));
  const auto is_ok = [](const json::value& row) { return TrueOf(Member(row, "ok")); };
  const auto faults = static_cast<size_t>(
      std::count_if(checks.begin(), checks.end(), [&](const auto& row) { return !is_ok(row); }));
  ListView view;
  view.fields.push_back({.name = "RESULT",
                         .text = [is_ok](const json::value& row) -> std::string {
                           if (!is_ok(row)) return "FAULT";
                           return TrueOf(Member(row, "repaired")) ? "repaired" : "ok";
                         },
                         .color = [is_ok](const json::value& row) -> std::string {
                           return is_ok(row) ? "green" : "red";
                         }});
  view.fields.push_back(Plain("CHECK", "name"));
  view.fields.push_back(Plain("CODE", "code"));
  view.notes = [is_ok](const json::value& row) -> std::vector<std::string> {
    const std::string message = TextOf(Member(row, "message"));
    if (is_ok(row) || message.empty()) return {};
    return {message};
  };
  view.footer = {Plural(checks.size(), "check") + ", " + Plural(faults, "fault")};
  if (faults > 0) {
    for (const json::value& row : checks) {
      if (is_ok(row)) continue;
      view.footer.push_back(
          "what to do: sotto explain " + TextOf(Member(row, "code")) +
          (repair ? "" : "; what this node can mend: sotto keys verify --repair"));
      break;
    }
  }
  const int exit = PrintList(context, *envelope, view);
  return exit == kExitOk && faults > 0 ? kExitFailed : exit;
}

}  // namespace

void AddKeysLs(Verb& keys) {
  Context& context = keys.context();
  const auto removed = std::make_shared<bool>(false);
  keys.Sub("ls", "the keys, their states, who holds them and seals with them")
      .Switch("--removed", removed.get(), "keys that are gone, too")
      .Example("sotto keys ls -o wide", "also when, by whom, and under which KEK")
      .Run([&context, removed] { return ListKeys(context, *removed); });
}

void AddKeysVerify(Verb& keys) {
  Context& context = keys.context();
  const auto repair = std::make_shared<bool>(false);
  keys.Sub("verify", "compare the store's tables with what this node holds; exit 1 on a fault")
      .Switch("--repair", repair.get(),
              "give a store that was set back to an old backup what this node holds")
      .Run([&context, repair] { return RunVerify(context, *repair); });
}

void AddKeysHistory(Verb& keys) {
  Context& context = keys.context();
  const auto limit = std::make_shared<int64_t>(50);
  keys.Sub("history", "who did what to the keys, newest first")
      .Number("--limit", limit.get(), 1, 10'000, "N", "at most N lines (50)")
      .Run([&context, limit] { return RunHistory(context, *limit); });
}

}  // namespace sotto::cli
