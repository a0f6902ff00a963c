// sotto keys status: where a rotation stands, member by member; once, or until it stands still.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/keys.h"
#include "cmd/sotto/commands/real_pause.h"
#include "cmd/sotto/complaint.h"
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

// The daemon asks members for 2 s and its database for 5 s.
constexpr double kLookTimeoutS = 10;
constexpr double kPollInterval = 0.5;
constexpr size_t kNamesMax = 4;

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

int Interrupted(Context& context, double seconds, const std::vector<std::string>& pending) {
  Complaint complaint{kExitPartial, "INTERRUPTED", "stopped after " + HumanDuration(seconds), {}};
  complaint.Add("what", "still waiting for " + JoinWords(pending));
  return context.Fail(complaint.Add("do", "sotto keys status"));
}

int WaitForKeys(Context& context, ApiClient& client) {
  const double timeout_s = context.TimeoutOr(60);
  RealPause pause;
  const double begin = pause.Now();
  const auto elapsed = [&] { return pause.Now() - begin; };
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
    const bool in_time = elapsed() + kPollInterval <= timeout_s;
    if (in_time && pause.Sleep(kPollInterval)) continue;
    progress.End();
    return pause.interrupted() ? Interrupted(context, elapsed(), pending)
                               : DeadlinePassed(context, timeout_s, pending, envelope.status());
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

}  // namespace

void AddKeysStatus(Verb& keys) {
  Context& context = keys.context();
  const auto wait = std::make_shared<bool>(false);
  keys.Sub("status", "where a rotation stands, member by member")
      .Switch("--wait", wait.get(), "until all living members hold and seal as they should")
      .Example("sotto keys status --wait --timeout 2m", "for scripts: exit 6 if it takes longer")
      .Run([&context, wait] { return RunStatus(context, *wait); });
}

}  // namespace sotto::cli
