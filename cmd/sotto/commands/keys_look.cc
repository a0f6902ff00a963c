// sotto keys ls, status, history, verify: the cluster's keys, who holds them, what was done.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/keys.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/table.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/progress.h"
#include "cmd/sotto/rotation/key_calls.h"
#include "cmd/sotto/rotation/rotation.h"
#include "cmd/sotto/rotation/rotation_text.h"
#include "gossip/base/coded_error.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

// The daemon asks members for 2 s and its database for 5 s.
constexpr double kLookTimeoutS = 10;
constexpr auto kPollInterval = std::chrono::milliseconds(500);
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

// ---- status --------------------------------------------------------------------------------

std::string HolderNote(const KeyHolder& member, const KeyStatus& status) {
  std::vector<std::string> notes;
  if (!member.trouble.empty()) notes.push_back(member.trouble);
  if (status.next.generation != 0 && member.held.value_or(0) < status.next.generation) {
    notes.push_back("lacks generation " + std::to_string(status.next.generation));
  } else if (member.held.value_or(0) < status.active.generation) {
    notes.push_back("lacks generation " + std::to_string(status.active.generation));
  }
  if (!member.in_store) notes.emplace_back("no row in this store");
  if (member.key_drops.value_or(0) > 0) {
    notes.push_back(HumanCount(*member.key_drops) + " frames dropped for key reasons");
  }
  std::string text;
  for (const std::string& note : notes) text += (text.empty() ? "" : "; ") + note;
  return text;
}

void PrintHolders(Context& context, const KeyStatus& status, std::ostream& out) {
  Table table({{"NODE"}, {"STATE"}, {"HOLDS"}, {"SEALS"}, {"SEEN"}, {"NOTE", false, true}});
  for (const KeyHolder& member : status.members) {
    const std::string color = member.state == "dead" ? "red" : member.living ? "" : "yellow";
    const auto number = [](const std::optional<uint64_t>& value) {
      return value ? std::to_string(*value) : std::string();
    };
    table.Add({{Escape(member.name), ""},
               {Escape(member.state), color},
               {number(member.held), ""},
               {number(member.sealing), ""},
               {member.seen_s ? HumanDuration(*member.seen_s) + " ago" : "", ""},
               {Escape(HolderNote(member, status)), ""}});
  }
  const int width = context.streams().out_is_terminal ? context.streams().columns : 0;
  for (const std::string& line :
       table.Lines(!context.flags().no_headers, width, context.color_out())) {
    out << line << '\n';
  }
}

std::string ReachText(const KeyStatus& status, Step step, uint64_t generation) {
  const Picture picture = PictureOf(status, step, generation, {});
  const bool one = picture.living == 1;
  const std::string verb = step == Step::kSpread ? (one ? " holds it" : " hold it")
                                                 : (one ? " seals with it" : " seal with it");
  return std::to_string(picture.living_reached) + " of " + Plural(picture.living, "living member") +
         verb;
}

std::string ScheduleText(const KeyStatus& status, const json::value& data) {
  const std::string next = TextOf(Member(data, "next_rotation_at"));
  const std::string leader = TextOf(Member(data, "leader"));
  std::string text =
      next.empty() ? "no rotation is scheduled" : "next rotation " + MinuteText(next);
  if (!next.empty() && !leader.empty()) text += ", by " + leader;
  return text + "; an old key stays readable for " +
         HumanDuration(static_cast<double>(status.retire_after_s));
}

void PrintStatus(Context& context, const KeyStatus& status, const json::value& envelope,
                 std::ostream& out) {
  const json::value& data = Member(envelope, "data");
  const auto line = [&](const char* label, const std::string& text) {
    std::string head = std::string("  ") + label;
    head.resize(12, ' ');
    out << head << Escape(text) << '\n';
  };
  std::string head = status.cluster + ", keys seen from " + TextOf(Member(envelope, "observer"));
  if (ParseUtc(status.as_of)) head += " at " + status.as_of.substr(11, 8);
  out << Escape(head) << (status.key_agreed ? "" : "   NOT AGREED") << '\n';
  if (status.active.generation == 0) {
    line("active", "not known");
  } else {
    line("active",
         KeyText(status.active) +
             (status.activated_at.empty() ? "" : " since " + MinuteText(status.activated_at)) +
             "; " + ReachText(status, Step::kActivate, status.active.generation));
  }
  if (status.next.generation != 0) {
    const std::string actor = TextOf(Member(Member(data, "next"), "actor"));
    line("next", KeyText(status.next) + " is PREPARED" + (actor.empty() ? "" : " by " + actor) +
                     "; " + ReachText(status, Step::kSpread, status.next.generation) +
                     (status.next_automatic ? "; goes on by itself" : ""));
  }
  for (const RetiringKey& old : status.retiring) {
    line("retiring",
         KeyText(old.key) + (old.retire_at.empty() ? "" : " until " + MinuteText(old.retire_at)));
  }
  line("schedule", ScheduleText(status, data));
  const json::value& store = Member(data, "store");
  line("store",
       TextOf(Member(store, "url")) +
           (status.store_ok ? "  ok"
                            : "  " + status.store_code + ": " + TextOf(Member(store, "message"))));
  if (!status.blocked_code.empty()) {
    line("blocked", status.blocked_code + ": " + status.blocked_message);
  }
  out << '\n';
  PrintHolders(context, status, out);
}

// What goes on by itself and has not come to its end, a phrase each.
std::vector<std::string> Pending(const KeyStatus& status) {
  std::vector<std::string> pending;
  const auto wait = [&](Step step, uint64_t generation, const char* verb) {
    const Picture picture = PictureOf(status, step, generation, {});
    std::vector<std::string> names;
    for (const NodeProgress* node : picture.Of(NodeProgress::Kind::kWaiting)) {
      names.push_back(node->member.name);
    }
    if (names.size() > kNamesMax) {
      const size_t rest = names.size() - kNamesMax;
      names.resize(kNamesMax);
      names.push_back(std::to_string(rest) + " more");
    }
    if (!names.empty()) {
      pending.push_back(JoinWords(names) + " to " + verb + " generation " +
                        std::to_string(generation));
    }
    return names.empty();
  };
  if (!status.store_ok) pending.push_back("the daemon's database (" + status.store_code + ")");
  if (status.next.generation != 0) {
    const bool held = wait(Step::kSpread, status.next.generation, "take");
    if (held && status.next_automatic) {
      pending.push_back("generation " + std::to_string(status.next.generation) +
                        " to be activated");
    }
  }
  if (status.active.generation != 0) wait(Step::kActivate, status.active.generation, "seal with");
  if (!status.key_agreed && pending.empty()) pending.emplace_back("all to seal with one key");
  return pending;
}

bool MayPass(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded;
}

int DeadlinePassed(Context& context, double timeout_s, const std::vector<std::string>& pending,
                   const absl::Status& last) {
  Complaint complaint{kExitDeadline,
                      "WAIT_DEADLINE",
                      "the keys are not settled within " + HumanDuration(timeout_s),
                      {}};
  if (!last.ok()) {
    complaint.Add("state", Describe(last));
    return context.Fail(complaint.Add("do", "sotto explain " + ErrorCode(last)));
  }
  complaint.Add("what", "still waiting for " + JoinWords(pending));
  return context.Fail(complaint.Add("do", "sotto keys status"));
}

int ShowStatus(Context& context, const json::value& envelope) {
  return PrintOne(context, envelope, [&](std::ostream& out) {
    PrintStatus(context, ReadKeyStatus(envelope), envelope, out);
  });
}

int WaitForKeys(Context& context, ApiClient& client) {
  const double timeout_s = context.TimeoutOr(60);
  const auto begin = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  Progress progress(context);
  while (true) {
    client.set_timeout_s(std::clamp(timeout_s - elapsed(), 0.05, kLookTimeoutS));
    const auto envelope = client.Get("/v1/keys/status?ask=1");
    std::vector<std::string> pending;
    if (envelope.ok()) {
      pending = Pending(ReadKeyStatus(*envelope));
      if (pending.empty()) {
        progress.End();
        return ShowStatus(context, *envelope);
      }
    } else if (!MayPass(envelope.status())) {
      progress.End();
      return context.Fail(envelope.status());
    } else {
      pending.push_back("sottod on " + client.socket_path());
    }
    json::array missing;
    for (const std::string& phrase : pending) missing.emplace_back(phrase);
    const std::string text = "waiting for " + JoinWords(pending);
    progress.Update(text, {{"step", "wait"}, {"missing", std::move(missing)}, {"text", text}});
    if (elapsed() + std::chrono::duration<double>(kPollInterval).count() > timeout_s) {
      progress.End();
      return DeadlinePassed(context, timeout_s, pending, envelope.status());
    }
    std::this_thread::sleep_for(kPollInterval);
  }
}

int RunStatus(Context& context, bool wait) {
  auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  if (wait) return WaitForKeys(context, *client);
  client->set_timeout_s(context.TimeoutOr(kLookTimeoutS));
  const auto envelope = client->Get("/v1/keys/status?ask=1");
  if (!envelope.ok()) return context.Fail(envelope.status());
  return ShowStatus(context, *envelope);
}

// ---- history, verify -------------------------------------------------------------------------

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

void AddKeysStatus(Verb& keys) {
  Context& context = keys.context();
  const auto wait = std::make_shared<bool>(false);
  keys.Sub("status", "where a rotation stands, member by member")
      .Switch("--wait", wait.get(), "until all living members hold and seal as they should")
      .Example("sotto keys status --wait --timeout 2m", "for scripts: exit 6 if it takes longer")
      .Run([&context, wait] { return RunStatus(context, *wait); });
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
