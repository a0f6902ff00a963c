// sotto keys rotate: the whole rotation, watched; and what it would do.
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
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/rotation/rotation.h"
#include "cmd/sotto/rotation/rotation_text.h"
#include "cmd/sotto/rotation/rotation_view.h"
#include "gossip/base/coded_error.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

constexpr double kTimeoutS = 60;

struct Flags {
  std::vector<std::string> skip;
  std::string retire_after;
  bool now = false;
  bool dry_run = false;
};

std::vector<std::string> NamesOf(const Picture& picture, NodeProgress::Kind kind) {
  std::vector<std::string> names;
  for (const NodeProgress* node : picture.Of(kind)) names.push_back(node->member.name);
  return names;
}

json::array ArrayFrom(const std::vector<std::string>& names) {
  json::array out;
  for (const std::string& name : names) out.emplace_back(name);
  return out;
}

// What stands in the way already, as far as it can be told without trying.
std::string ObstacleOf(const KeyStatus& status) {
  if (!status.store_ok) return status.store_code;
  return status.blocked_code;
}

int DryRun(Context& context, KeyCalls& calls, const RotationOrder& order) {
  const auto status = calls.Look(/*ask=*/true);
  if (!status.ok()) return context.Fail(status.status());
  const bool resumes = status->next.generation != 0;
  const uint64_t generation = resumes ? status->next.generation : status->active.generation + 1;
  const Picture picture = PictureOf(*status, Step::kSpread, generation, order.skip);
  const std::vector<std::string> absent = NamesOf(picture, NodeProgress::Kind::kAbsent);
  const std::vector<std::string> waiting = NamesOf(picture, NodeProgress::Kind::kWaiting);
  const std::vector<std::string> skipped = NamesOf(picture, NodeProgress::Kind::kSkipped);
  const std::string obstacle = ObstacleOf(*status);
  const int64_t grace = order.now ? 0 : order.retire_after_s.value_or(status->retire_after_s);
  const json::value envelope = LocalEnvelope(
      "sotto.key_rotation_plan/1",
      json::object{{"cluster", status->cluster},
                   {"resumes", resumes},
                   {"from", status->active.generation},
                   {"to", generation},
                   {"waits_for", ArrayFrom(waiting)},
                   {"skipped", ArrayFrom(skipped)},
                   {"absent", ArrayFrom(absent)},
                   {"retire_after_s", grace},
                   {"removes", order.now},
                   {"obstacle", obstacle.empty() ? json::value(nullptr) : json::value(obstacle)}});
  return PrintOne(context, envelope, [&](std::ostream& out) {
    const std::string to = "generation " + std::to_string(generation);
    const std::string from = "generation " + std::to_string(status->active.generation);
    const auto line = [&](Step step, const std::string& text) {
      std::string head = " " + NumberText(step) + " " + std::string(NameOf(step));
      head.resize(15, ' ');
      out << head << Escape(text) << '\n';
    };
    out << Escape("Nothing is done. Rotating " + status->cluster + " would:") << '\n';
    line(Step::kPrepare, resumes
                             ? "go on with " + KeyText(status->next) + ", which is PREPARED already"
                             : "store a new key as " + to);
    std::string spread = "wait until " + Plural(picture.living, "living member") +
                         (picture.living == 1 ? " holds it" : " hold it");
    if (picture.living_reached > 0) {
      spread += " (" + std::to_string(picture.living_reached) + " do already)";
    }
    if (!order.skip.empty()) spread += ", not for " + JoinWords(order.skip);
    if (!absent.empty()) spread += "; absent: " + JoinWords(absent);
    line(Step::kSpread, spread);
    line(Step::kActivate, "let all seal with " + to);
    line(Step::kRetire, order.now ? "remove " + from + " at once"
                        : grace == 0
                            ? "remove " + from + " as soon as nobody needs it"
                            : "keep " + from + " readable for " +
                                  HumanDuration(static_cast<double>(grace)) + ", then remove it");
    if (!obstacle.empty()) out << Escape("In its way now: " + obstacle) << '\n';
  });
}

int RunRotate(Context& context, const Flags& flags) {
  const auto retire_after = ParseRetireAfter(flags.retire_after);
  if (!retire_after.ok()) return context.Fail(retire_after.status());
  const absl::Status named = CheckMemberWords(flags.skip);
  if (!named.ok()) return context.Fail(named);
  if (flags.now && retire_after->value_or(0) != 0) {
    Complaint complaint{
        kExitUsage, "USAGE", "--now removes the old key at once, --retire-after keeps it", {}};
    return context.Fail(complaint.Add("do", "sotto keys rotate --now"));
  }
  RotationOrder order;
  order.skip = flags.skip;
  order.timeout_s = context.TimeoutOr(kTimeoutS);
  order.retire_after_s = flags.now ? std::optional<int64_t>(0) : *retire_after;
  order.now = flags.now;
  auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  ApiKeyCalls calls(*std::move(client));
  if (flags.dry_run) return DryRun(context, calls, order);
  RotationRecord record;
  {
    RealPause pause;
    const std::unique_ptr<RotationView> view = MakeRotationView(context);
    record = Rotation(&calls, &pause, view.get(), order).Run();
  }
  if (record.end != RotationEnd::kDone) return context.Fail(RotationComplaint(record, order));
  return PrintDone(context, LocalEnvelope("sotto.key_rotation/1", RotationJson(record)),
                   DoneText(record));
}

}  // namespace

void AddKeysRotate(Verb& keys) {
  Context& context = keys.context();
  const auto flags = std::make_shared<Flags>();
  keys.Sub("rotate", "a new key for the cluster while it runs; stopped, it resumes when run again")
      .List("--skip", &flags->skip, "MEMBER", "a living member that is not waited for (repeat)")
      .Text("--retire-after", &flags->retire_after, "TIME",
            "how long the old key stays readable; 0: until nobody needs it")
      .Switch("--now", &flags->now, "the old key is known to others: remove it in the end")
      .Switch("--dry-run", &flags->dry_run, "only say what would happen")
      .Example("sotto keys rotate", "exit 0: all that live seal with it; 3: stalled, run it again")
      .Example("sotto keys rotate --timeout 5m", "for each of the two waits (60s)")
      .Example("sotto keys rotate --skip gw-3", "do not wait for gw-3, which cannot take it")
      .Example("sotto keys rotate --now", "after a leak")
      .Run([&context, flags] { return RunRotate(context, *flags); });
}

}  // namespace sotto::cli
