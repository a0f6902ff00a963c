#include "cmd/sotto/rotation/rotation_text.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <cmath>
#include <functional>
#include <utility>
#include <vector>

#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/text.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/codes.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;
using Kind = NodeProgress::Kind;

constexpr size_t kNamesMax = 8;   // in one sentence
constexpr size_t kCausesMax = 3;  // of a stalled step
constexpr double kFreshS = 3;     // what is known is as good as said now

std::string Number(uint64_t number) { return std::to_string(number); }

std::string Generation(const KeyName& key) { return "generation " + Number(key.generation); }

std::vector<std::string> NamesOf(const std::vector<const NodeProgress*>& nodes) {
  std::vector<std::string> names;
  for (const NodeProgress* node : nodes) names.push_back(node->member.name);
  return names;
}

std::string JoinNames(std::vector<std::string> names) {
  if (names.size() > kNamesMax) {
    const size_t rest = names.size() - kNamesMax + 1;
    names.resize(kNamesMax - 1);
    names.push_back(Number(rest) + " more");
  }
  return JoinWords(names);
}

std::string Is(size_t count) { return count == 1 ? " is " : " are "; }

std::string AgeText(const KeyHolder& member) {
  return member.seen_s ? HumanDuration(*member.seen_s) : std::string();
}

// "dead, last seen 2h ago".
std::string AbsentText(const KeyHolder& member) {
  const std::string state = member.state.empty() ? "not in gossip" : member.state;
  const std::string age = AgeText(member);
  return state + (age.empty() ? ", never seen here" : ", last seen " + age + " ago");
}

// How an absent member comes by the key: "takes generation 13 from its database when it returns".
std::string NeedText(const KeyHolder& member, const RotationRecord& record) {
  if (member.held.value_or(0) >= record.to.generation) return "holds it already";
  if (!record.kek.empty()) {
    return "takes " + Generation(record.to) + " from its database or by sync when it returns";
  }
  if (member.in_store) {
    return "takes " + Generation(record.to) + " from its database when it returns";
  }
  return "has another database, and needs `sotto keys import` there";
}

// A page's sentence, in the middle of another.
std::string Within(std::string_view sentence) {
  std::string text(sentence);
  if (!text.empty() && text.back() == '.') text.pop_back();
  const bool is_word = text.size() > 1 && text[1] >= 'a' && text[1] <= 'z';
  const bool is_article = text.rfind("A ", 0) == 0;
  if (is_word || is_article) text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

// The members of which `text` says the same, together: "gw-6 and gw-7".
std::vector<std::pair<std::string, std::vector<std::string>>> Grouped(
    const std::vector<const NodeProgress*>& nodes,
    const std::function<std::string(const NodeProgress&)>& text) {
  std::vector<std::pair<std::string, std::vector<std::string>>> groups;
  for (const NodeProgress* node : nodes) {
    const std::string said = text(*node);
    const auto found = std::find_if(groups.begin(), groups.end(),
                                    [&](const auto& group) { return group.first == said; });
    if (found != groups.end()) {
      found->second.push_back(node->member.name);
    } else {
      groups.push_back({said, {node->member.name}});
    }
  }
  return groups;
}

// The line `what` about members that do not go on.
std::string CauseText(const KeyHolder& member, Step step) {
  const CodeInfo* page =
      member.trouble.empty() || member.state == "suspect" ? nullptr : FindCode(member.trouble);
  return StandText(member, step) + (page == nullptr ? "" : ": " + Within(page->what));
}

// What stands, whatever happened.
std::string StateText(const RotationRecord& record) {
  if (record.to.generation == 0) return "nothing was done";
  const std::string from = Generation(record.from), to = Generation(record.to);
  if (record.activated) {
    std::string text = to + " is ACTIVE";
    if (record.picture.step == Step::kActivate && !record.picture.nodes.empty()) {
      text += ", and " + Number(record.picture.living_reached) + " of " +
              Plural(record.picture.living, "living member") + " " +
              (record.picture.living == 1 ? "seals" : "seal") + " with it";
    }
    if (record.from.generation == 0) return text;
    return text + "; " + from + " can still be read" +
           (record.retire_at.empty() ? "" : " until " + MinuteText(record.retire_at));
  }
  const bool unknown =
      record.step == Step::kActivate && ErrorCode(record.status).rfind("DAEMON_", 0) == 0;
  if (unknown) return "whether " + to + " was activated is not known; nobody lacks it";
  return "nothing was activated; all nodes still seal with " + from + "; " + to +
         " waits as PREPARED";
}

// The command that goes on, with what was asked of this one.
std::string ResumeText(const RotationRecord& record, const RotationOrder& order) {
  std::string command = "sotto keys rotate" + RepeatFlag("--skip", order.skip);
  if (order.now) command += " --now";
  if (!order.now && order.retire_after_s) {
    command += " --retire-after " + std::to_string(*order.retire_after_s) + "s";
  }
  return "`" + command + "` again: it resumes at " + NumberText(record.step);
}

// As many causes as there is room for, then what is true of them.
void AddCauses(const RotationRecord& record, const std::vector<const NodeProgress*>& waiting,
               Complaint* complaint) {
  const auto groups = Grouped(waiting, [&](const NodeProgress& node) {
    return CauseText(node.member, record.picture.step);
  });
  for (size_t i = 0; i < groups.size() && i < kCausesMax; ++i) {
    const auto& [cause, names] = groups[i];
    if (i + 1 == kCausesMax && groups.size() > kCausesMax) {
      complaint->Add("what", "and " + Plural(groups.size() - i, "other cause") +
                                 ": `sotto keys status` names them");
      continue;
    }
    complaint->Add("what", JoinNames(names) + Is(names.size()) + cause);
  }
  if (waiting.empty() && !record.status.ok()) {
    complaint->Add("what", std::string(record.status.message()));
  }
  if (waiting.empty() && record.status.ok()) complaint->Add("what", "no living member is known");
}

// "read `sotto explain KEK_MISSING` on gw-3": what to mend first.
std::string MendText(const std::vector<const NodeProgress*>& waiting) {
  for (const NodeProgress* node : waiting) {
    if (node->member.trouble.empty()) continue;
    std::vector<std::string> same;
    for (const NodeProgress* other : waiting) {
      if (other->member.trouble == node->member.trouble) same.push_back(other->member.name);
    }
    return "mend that on " + JoinNames(same) + " (`sotto explain " + node->member.trouble + "`)";
  }
  if (waiting.empty()) return "`sotto keys status`";
  return "look at sottod's log on " + JoinNames(NamesOf(waiting));
}

Complaint StalledComplaint(const RotationRecord& record, const RotationOrder& order) {
  const std::vector<const NodeProgress*> waiting = record.picture.Of(Kind::kWaiting);
  const std::vector<std::string> names = NamesOf(waiting);
  const bool spread = record.step == Step::kSpread;
  const std::string who = names.empty() ? "the members" : JoinNames(names);
  const std::string limit = HumanDuration(order.timeout_s);
  Complaint complaint;
  complaint.exit = kExitPartial;
  complaint.code = spread ? "KEY_SPREAD_STALLED" : "KEY_SEAL_STALLED";
  complaint.message =
      spread ? who + " did not take " + Generation(record.to) + " within " + limit
             : who + " did not go over to " + Generation(record.to) + " within " + limit;
  AddCauses(record, waiting, &complaint);
  complaint.Add("state", StateText(record));
  complaint.Add("do", MendText(waiting) + ", then run " + ResumeText(record, order));
  if (names.empty() || names.size() > kNamesMax) return complaint;
  std::vector<std::string> skip = order.skip;
  skip.insert(skip.end(), names.begin(), names.end());
  const std::string command = "`sotto keys rotate" + RepeatFlag("--skip", skip) + "`";
  if (spread) {
    const int64_t grace = order.now ? 0 : record.retire_after_s;
    complaint.Add("do", "or " + command + " to go on without " +
                            (names.size() == 1 ? "it" : "them") + " (" + JoinNames(names) +
                            (names.size() == 1 ? " stays" : " stay") + " readable for " +
                            HumanDuration(static_cast<double>(grace)) + ")");
  } else {
    complaint.Add("do", "or `sotto keys status --wait`: the old key still opens what " +
                            std::string(names.size() == 1 ? "it seals" : "they seal"));
  }
  return complaint;
}

Complaint InterruptedComplaint(const RotationRecord& record, const RotationOrder& order) {
  Complaint complaint{kExitPartial, "INTERRUPTED", "stopped at " + NumberText(record.step), {}};
  if (record.seconds >= 0.05) complaint.message += " after " + HumanDuration(record.seconds);
  const std::vector<std::string> waiting = NamesOf(record.picture.Of(Kind::kWaiting));
  if (!waiting.empty()) complaint.Add("what", "still waiting for " + JoinNames(waiting));
  complaint.Add("state", StateText(record));
  if (record.to.generation == 0) return complaint.Add("do", "sotto keys rotate");
  complaint.Add("do", ResumeText(record, order));
  if (record.step == Step::kSpread && !record.activated) {
    complaint.Add(
        "do", "or `sotto keys remove " + Number(record.to.generation) + "` to give the new key up");
  }
  return complaint;
}

Complaint FailedComplaint(const RotationRecord& record, const RotationOrder& order) {
  Complaint complaint = ComplaintOf(record.status);
  if (record.to.generation == 0) return complaint;
  // The page's own line is about the call alone; what stands, and how to go on, matters more.
  std::erase_if(complaint.lines, [](const auto& line) { return line.first == "state"; });
  complaint.Add("state", StateText(record));
  if (complaint.exit == kExitRefused) {
    if (complaint.code == "KEY_STILL_NEEDED") {
      std::erase_if(complaint.lines, [](const auto& line) { return line.first == "do"; });
      std::vector<std::string> needy;
      for (const NodeProgress& node : record.picture.nodes) {
        if (NeedsKey(node.member, record.from.generation)) needy.push_back(node.member.name);
      }
      const std::string who = needy.empty() ? "them" : JoinNames(needy);
      complaint.Add("do", "bring " + who + " back first, then `sotto keys remove " +
                              Number(record.from.generation) + "`");
      for (const std::string& name : needy) {
        if (needy.size() > 1) break;
        complaint.Add("do", "or `sotto forget " + ShellQuote(name) + "`, or `sotto keys remove " +
                                Number(record.from.generation) + " --yes-lock-out " +
                                ShellQuote(name) + "`");
      }
    }
    return complaint;
  }
  complaint.exit = kExitPartial;
  if (complaint.code.rfind("DAEMON_", 0) == 0) {
    std::erase_if(complaint.lines, [](const auto& line) { return line.first == "do"; });
    complaint.Add("do", "journalctl -u sottod -n 20; or go on from another node with --target");
  }
  return complaint.Add("do", ResumeText(record, order));
}

}  // namespace

std::string NumberText(Step step) { return Number(static_cast<uint64_t>(step)) + "/4"; }

std::string_view NameOf(Step step) {
  switch (step) {
    case Step::kPrepare:
      return "prepare";
    case Step::kSpread:
      return "spread";
    case Step::kActivate:
      return "activate";
    case Step::kRetire:
      return "retire";
  }
  return "";
}

std::string KeyText(const KeyName& key) { return Generation(key) + " (fp " + key.id + ")"; }

std::string MinuteText(const std::string& utc) {
  if (!ParseUtc(utc)) return utc;
  return utc.substr(0, 10) + " " + utc.substr(11, 5);
}

std::string StandText(const KeyHolder& member, Step step) {
  if (member.state == "suspect") return "suspect, silent to probes";
  if (!member.trouble.empty()) return "alive, but stopped by " + member.trouble;
  const bool seal = step == Step::kActivate;
  const std::optional<uint64_t>& has = seal ? member.sealing : member.held;
  const std::string age = AgeText(member);
  if (!has) return "alive, silent about its keys";
  return std::string("alive, ") + (seal ? "sealing with" : "holding") + " generation " +
         Number(*has) + (age.empty() || *member.seen_s < kFreshS ? "" : " as of " + age + " ago");
}

std::string NodeText(const NodeProgress& node, const RotationRecord& record) {
  switch (node.kind) {
    case Kind::kOk:
      return "ok " + HumanDuration(node.seconds);
    case Kind::kWaiting:
      return "waiting " + HumanDuration(node.seconds) + "   " +
             StandText(node.member, record.picture.step);
    case Kind::kSkipped:
      return "skipped   " + StandText(node.member, record.picture.step);
    case Kind::kAbsent:
      return AbsentText(node.member) + "   " + NeedText(node.member, record);
  }
  return "";
}

std::string ReachedText(const Picture& picture) {
  const bool seal = picture.step == Step::kActivate;
  return Number(picture.reached) + " of " + Plural(picture.nodes.size(), "known member") +
         (picture.nodes.size() == 1 ? (seal ? " seals with it" : " holds it")
                                    : (seal ? " seal with it" : " hold it")) +
         (picture.store_code.empty() ? "" : "; the database: " + picture.store_code);
}

std::string BeginText(const RotationRecord& record) {
  std::string text = "Rotating " + record.cluster + ": ";
  if (record.from.generation != 0) text += KeyText(record.from) + " -> ";
  text += Number(record.to.generation) + " (fp " + record.to.id + "). ";
  if (record.activated) {
    return text + "It was activated before: going on at 3/4; run again for a newer key.";
  }
  return text + "Safe to interrupt; run again to resume.";
}

std::string DropsText(const RotationRecord& record) {
  if (record.key_drops_members == 0) return "frames dropped for key reasons: no member tells";
  const size_t known = std::max(record.picture.nodes.size(), record.key_drops_members);
  std::string text = HumanCount(record.key_drops) + (record.key_drops == 1 ? " frame" : " frames") +
                     " dropped for key reasons";
  if (record.key_drops_members < known) {
    text += " (" + Number(record.key_drops_members) + " of " + Number(known) + " tell)";
  }
  return text;
}

std::string StepText(Step step, const RotationRecord& record) {
  const Picture& picture = record.picture;
  const std::string to = Generation(record.to), from = Generation(record.from);
  if (step == Step::kPrepare) {
    const std::string wrapped = record.kek.empty() ? "" : ", wrapped by kek " + record.kek;
    return (record.resumed ? "the key was prepared before" : "new key stored") + wrapped;
  }
  if (step == Step::kRetire) {
    if (record.from.generation == 0) return "there was no older key";
    if (record.removed) return from + " is removed";
    if (record.retire_at.empty() || record.retire_after_s == 0) {
      return from + " is removed as soon as nobody needs it";
    }
    return from + " stays readable until " + MinuteText(record.retire_at) + " UTC (" +
           HumanDuration(static_cast<double>(record.retire_after_s)) + "), then is removed";
  }
  std::string text;
  if (step == Step::kSpread) {
    text = Number(picture.living_reached) + " of " + Plural(picture.living, "living member") +
           (picture.living == 1 ? " holds it" : " hold it");
  } else {
    text = (picture.living == 1 ? "the only living member seals with "
                                : "all " + Number(picture.living) + " now seal with ") +
           to;
  }
  const size_t skipped = picture.Of(Kind::kSkipped).size();
  const size_t absent = picture.Of(Kind::kAbsent).size();
  if (skipped > 0) text += ", " + Number(skipped) + " skipped";
  if (absent > 0 && step == Step::kSpread) text += ", " + Number(absent) + " absent";
  return text;
}

std::string DoneText(const RotationRecord& record) {
  std::string text = "Done in " + HumanDuration(record.seconds) + ".";
  for (const auto& [need, names] :
       Grouped(record.picture.Of(Kind::kAbsent),
               [&](const NodeProgress& node) { return NeedText(node.member, record); })) {
    text += " " + JoinNames(names) + Is(names.size()) + "absent: ";
    text += (names.size() == 1 ? "it " : "each ") + need;
    text += need.rfind("takes ", 0) == 0 ? "; no human is needed." : ".";
  }
  for (const auto& [stand, names] :
       Grouped(record.picture.Of(Kind::kSkipped),
               [&](const NodeProgress& node) { return StandText(node.member, Step::kSpread); })) {
    text += " " + JoinNames(names) + (names.size() == 1 ? " was" : " were") + " skipped: " + stand;
    text +=
        record.removed ? "." : ", and readable only as long as " + Generation(record.from) + " is.";
  }
  return text;
}

json::object RotationJson(const RotationRecord& record) {
  const auto key = [](const KeyName& name) -> json::value {
    if (name.generation == 0) return nullptr;
    return json::object{{"generation", name.generation}, {"id", name.id}};
  };
  const auto names = [&](Kind kind) {
    json::array out;
    for (const NodeProgress* node : record.picture.Of(kind)) out.emplace_back(node->member.name);
    return out;
  };
  return {{"cluster", record.cluster},
          {"from", key(record.from)},
          {"to", key(record.to)},
          {"resumed", record.resumed},
          {"seconds", std::round(record.seconds * 1000) / 1000},
          {"known", record.picture.nodes.size()},
          {"living", record.picture.living},
          {"absent", names(Kind::kAbsent)},
          {"skipped", names(Kind::kSkipped)},
          {"key_drops", record.key_drops},
          {"key_drops_members", record.key_drops_members},
          {"removed", record.removed},
          {"retire_at",
           record.retire_at.empty() ? json::value(nullptr) : json::value(record.retire_at)}};
}

Complaint RotationComplaint(const RotationRecord& record, const RotationOrder& order) {
  switch (record.end) {
    case RotationEnd::kStalled:
      return StalledComplaint(record, order);
    case RotationEnd::kInterrupted:
      return InterruptedComplaint(record, order);
    case RotationEnd::kFailed:
    case RotationEnd::kDone:
      break;
  }
  return FailedComplaint(record, order);
}

}  // namespace sotto::cli
