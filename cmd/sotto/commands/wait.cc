// sotto wait: for scripts, until the cluster is as it should be, or the deadline.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/progress.h"
#include "cmd/sotto/verb.h"
#include "gossip/base/coded_error.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr auto kPollInterval = std::chrono::milliseconds(150);

struct Flags {
  int64_t members = 0;
  bool key_agreed = false;
  bool views_agree = false;
};

// What is still missing, a phrase each; empty when all is as it was asked.
struct Standing {
  std::vector<std::string> missing;
  std::string text;  // "3 of 5 members alive, views agree 2 of 4"
};

// Every living member seals with the active key, as far as this node knows; and it opens theirs.
bool KeyAgreed(const json::value& data, const json::value& keys) {
  for (const json::value& note : ArrayOf(Member(data, "notes"))) {
    const std::string code = TextOf(Member(note, "code"));
    if (code == "KEY_TROUBLE" || code == "KEY_BEHIND" || code == "KEY_MISMATCH") return false;
  }
  return TrueOf(Member(keys, "key_agreed"));
}

// `keys`: the daemon's word on the keys, where it was asked.
Standing Judge(const json::value& data, const json::value& keys, const Flags& flags) {
  Standing standing;
  const uint64_t alive = CountOf(Member(Member(data, "members"), "alive"));
  const json::value& views = Member(data, "views");
  const uint64_t agree = CountOf(Member(views, "agree"));
  const uint64_t known = CountOf(Member(views, "known"));
  const auto wanted = static_cast<uint64_t>(flags.members);
  standing.text = std::to_string(alive) + (wanted > 0 ? " of " + std::to_string(wanted) : "") +
                  " members alive, views agree " + std::to_string(agree) + " of " +
                  std::to_string(known);
  if (wanted > 0 && alive < wanted) {
    standing.missing.push_back(Plural(wanted - alive, "member") + " to come alive");
  }
  // A node that has heard of nobody agrees with everybody; that is not what was asked.
  if (flags.views_agree && (agree < known || known + 1 < alive)) {
    standing.missing.push_back("all views to agree");
  }
  if (flags.key_agreed && !KeyAgreed(data, keys)) {
    standing.missing.push_back("every living member to seal with the active key");
  }
  return standing;
}

int DeadlinePassed(Context& context, const Flags& flags, double timeout_s, const Standing& standing,
                   const absl::Status& last_error) {
  std::vector<std::string> asked;
  if (flags.members > 0) asked.push_back(Plural(static_cast<uint64_t>(flags.members), "member"));
  if (flags.key_agreed) asked.emplace_back("one key");
  if (flags.views_agree) asked.emplace_back("views that agree");
  Complaint complaint{kExitDeadline,
                      "WAIT_DEADLINE",
                      "not as asked within " + HumanDuration(timeout_s) + ": " + JoinWords(asked),
                      {}};
  if (!last_error.ok()) {
    complaint.Add("state", Describe(last_error));
    complaint.Add("do", "sotto explain " + ErrorCode(last_error));
  } else {
    complaint.Add("what", "still waiting for " + JoinWords(standing.missing));
    complaint.Add("state", standing.text);
    complaint.Add("do", "sotto status, and sotto members --all");
  }
  return context.Fail(complaint);
}

int RunWait(Context& context, Flags flags) {
  if (flags.members == 0 && !flags.key_agreed && !flags.views_agree) {
    Complaint complaint{kExitUsage, "USAGE", "\"sotto wait\" needs to know what for", {}};
    return context.Fail(complaint.Add("do", "sotto wait --members 3 --views-agree --timeout 60s"));
  }
  auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  const double timeout_s = context.TimeoutOr(60);
  const auto begin = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  Progress progress(context);
  Standing standing;
  while (true) {
    client->set_timeout_s(std::max(timeout_s - elapsed(), 0.05));
    const auto envelope = client->Get("/v1/status");
    absl::Status failed = envelope.status();
    json::value keys;
    if (failed.ok() && flags.key_agreed) {
      client->set_timeout_s(std::max(timeout_s - elapsed(), 0.05));
      const auto answer = client->Get("/v1/keys/status?ask=1");
      failed = answer.status();
      if (answer.ok()) keys = Member(*answer, "data");
    }
    if (failed.ok()) {
      standing = Judge(Member(*envelope, "data"), keys, flags);
      if (standing.missing.empty()) {
        progress.End();
        return PrintDone(context, *envelope, standing.text + " (" + HumanDuration(elapsed()) + ")");
      }
    } else if (!MayPass(failed)) {
      progress.End();
      return context.Fail(failed);
    }
    const std::string text =
        failed.ok() ? "waiting for " + JoinWords(standing.missing) + ": " + standing.text
                    : "waiting for sottod on " + client->socket_path();
    json::array missing;
    for (const std::string& phrase : standing.missing) missing.emplace_back(phrase);
    progress.Update(text, {{"step", "wait"}, {"missing", std::move(missing)}, {"text", text}});
    if (elapsed() + std::chrono::duration<double>(kPollInterval).count() > timeout_s) {
      progress.End();
      return DeadlinePassed(context, flags, timeout_s, standing, failed);
    }
    std::this_thread::sleep_for(kPollInterval);
  }
}

}  // namespace

void AddWait(Verb& root) {
  Context& context = root.context();
  const auto flags = std::make_shared<Flags>();
  Verb verb = root.Sub("wait", "for scripts: until the cluster is as it should be");
  verb.Number("--members", &flags->members, 0, 1'000'000, "N", "at least N members alive")
      .Switch("--key-agreed", &flags->key_agreed, "every living member seals with the active key")
      .Switch("--views-agree", &flags->views_agree, "all see the same members")
      .Example("sotto wait --members 3 --views-agree --timeout 60s", "exit 6 if it takes longer")
      .Run([&context, flags] { return RunWait(context, *flags); });
}

}  // namespace sotto::cli
