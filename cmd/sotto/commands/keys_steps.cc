// sotto keys prepare, activate, remove: the steps of a rotation, one by one.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <charconv>
#include <memory>
#include <string>
#include <vector>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/keys.h"
#include "cmd/sotto/commands/member_list.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/rotation/key_calls.h"
#include "cmd/sotto/rotation/rotation.h"
#include "cmd/sotto/rotation/rotation_text.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

constexpr double kStepTimeoutS = 15;  // the daemon waits 5 s for its database, more than once
constexpr size_t kNamesMax = 4;

struct Flags {
  std::string generation, retire_after;
  std::vector<std::string> skip, lock_out;
};

absl::Status UsageError(const std::string& text, const std::string& advice) {
  return WithLine(CodedError(absl::StatusCode::kInvalidArgument, "USAGE", text), "do", advice);
}

absl::StatusOr<ApiClient> StepClient(const Context& context) {
  SOTTO_ASSIGN_OR_RETURN(ApiClient client, context.Client());
  client.set_timeout_s(context.TimeoutOr(kStepTimeoutS));
  return client;
}

int RunPrepare(Context& context) {
  const auto client = StepClient(context);
  if (!client.ok()) return context.Fail(client.status());
  const auto envelope = client->Post("/v1/keys/prepare", json::object());
  if (!envelope.ok()) return context.Fail(envelope.status());
  const json::value& data = Member(*envelope, "data");
  const KeyName key{CountOf(Member(data, "generation")), TextOf(Member(data, "id"))};
  const std::string kek = TextOf(Member(data, "kek"));
  const int exit = PrintDone(
      context, *envelope,
      KeyText(key) + (TrueOf(Member(data, "resumed")) ? " was PREPARED before" : " is PREPARED") +
          (kek.empty() ? "" : ", wrapped by kek " + kek));
  context.Note("next: sotto keys status --wait, then sotto keys activate " +
               std::to_string(key.generation));
  return exit;
}

// Members that the last look gives a reason for, for the lines of a refusal; none where there is no
// answer, or too many to name.
std::vector<std::string> NamesWhere(const ApiClient& client,
                                    const std::function<bool(const KeyHolder&)>& where) {
  std::vector<std::string> names;
  const auto envelope = client.Get("/v1/keys/status");
  if (!envelope.ok()) return names;
  for (const KeyHolder& member : ReadKeyStatus(*envelope).members) {
    if (where(member)) names.push_back(member.name);
  }
  if (names.size() > kNamesMax) names.clear();
  return names;
}

void ReplaceDo(Complaint* complaint, const std::vector<std::string>& lines) {
  std::erase_if(complaint->lines, [](const auto& line) { return line.first == "do"; });
  for (const std::string& line : lines) complaint->Add("do", line);
}

int ActivateRefused(Context& context, const ApiClient& client, const Flags& flags,
                    uint64_t generation, const absl::Status& status) {
  Complaint complaint = ComplaintOf(status);
  if (complaint.code == "KEY_NOT_SPREAD") {
    std::vector<std::string> lacking = NamesWhere(client, [&](const KeyHolder& member) {
      return member.living && member.held.value_or(0) < generation;
    });
    std::vector<std::string> lines = {
        "wait for them: sotto keys status --wait, then run this again"};
    if (!lacking.empty()) {
      for (const std::string& name : flags.skip) {
        if (std::find(lacking.begin(), lacking.end(), name) == lacking.end()) {
          lacking.push_back(name);
        }
      }
      lines.push_back("or go on without: sotto keys activate " + std::to_string(generation) +
                      RepeatFlag("--skip", lacking));
    }
    ReplaceDo(&complaint, lines);
  }
  return context.Fail(complaint);
}

int RunActivate(Context& context, const Flags& flags) {
  const auto generation = ParseGeneration(flags.generation);
  if (!generation.ok()) return context.Fail(generation.status());
  const auto retire_after = ParseRetireAfter(flags.retire_after);
  if (!retire_after.ok()) return context.Fail(retire_after.status());
  const absl::Status named = CheckMemberWords(flags.skip);
  if (!named.ok()) return context.Fail(named);
  const auto client = StepClient(context);
  if (!client.ok()) return context.Fail(client.status());
  const auto envelope =
      client->Post("/v1/keys/activate", ActivateBody(*generation, flags.skip, *retire_after));
  if (!envelope.ok()) {
    return ActivateRefused(context, *client, flags, *generation, envelope.status());
  }
  const int exit = PrintDone(context, *envelope,
                             "generation " + std::to_string(*generation) +
                                 " is ACTIVE: members seal with it as they learn of it");
  context.Note("next: sotto keys status --wait");
  return exit;
}

int RemoveRefused(Context& context, const ApiClient& client, const Flags& flags,
                  uint64_t generation, const absl::Status& status) {
  Complaint complaint = ComplaintOf(status);
  if (complaint.code == "KEY_STILL_NEEDED") {
    const std::vector<std::string> needy = NamesWhere(client, [&](const KeyHolder& member) {
      return NeedsKey(member, generation) && std::find(flags.lock_out.begin(), flags.lock_out.end(),
                                                       member.name) == flags.lock_out.end();
    });
    if (!needy.empty()) {
      std::vector<std::string> all = flags.lock_out;
      all.insert(all.end(), needy.begin(), needy.end());
      std::vector<std::string> forget;
      for (const std::string& name : needy) {
        forget.push_back("`sotto forget " + ShellQuote(name) + "`");
      }
      ReplaceDo(&complaint,
                {"bring " + JoinWords(needy) + " back first, or " + JoinWords(forget, ", ") +
                 ", or add `" + RepeatFlag("--yes-lock-out", all).substr(1) + "`"});
    }
  }
  return context.Fail(complaint);
}

int RunRemove(Context& context, const Flags& flags) {
  const auto generation = ParseGeneration(flags.generation);
  if (!generation.ok()) return context.Fail(generation.status());
  const absl::Status named = CheckMemberWords(flags.lock_out);
  if (!named.ok()) return context.Fail(named);
  const auto client = StepClient(context);
  if (!client.ok()) return context.Fail(client.status());
  json::object body{{"generation", *generation}};
  json::array names;
  for (const std::string& name : flags.lock_out) names.emplace_back(name);
  if (!names.empty()) body["lock_out"] = std::move(names);
  const auto envelope = client->Post("/v1/keys/remove", body);
  if (!envelope.ok()) {
    return RemoveRefused(context, *client, flags, *generation, envelope.status());
  }
  return PrintDone(context, *envelope,
                   "generation " + std::to_string(*generation) + " is REMOVED, and never returns");
}

}  // namespace

absl::StatusOr<uint64_t> ParseGeneration(const std::string& word) {
  uint64_t generation = 0;
  const char* end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, generation);
  if (error == std::errc() && rest == end && generation > 0 && generation <= INT64_MAX) {
    return generation;
  }
  return UsageError("GEN is a key's number, got \"" + word + "\"", "sotto keys ls shows them");
}

absl::StatusOr<std::optional<int64_t>> ParseRetireAfter(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto seconds = ParseDuration(text);
  // A number alone is seconds elsewhere; here, who writes 1 means a day.
  const bool has_unit = text == "0" || text.back() > '9';
  if (seconds && has_unit && *seconds <= 3650.0 * 86'400) {
    return static_cast<int64_t>(*seconds + 0.5);
  }
  return UsageError("--retire-after wants a time such as 24h, 7d or 0, got \"" + text + "\"",
                    "sotto keys rotate --retire-after 24h");
}

absl::Status CheckMemberWords(const std::vector<std::string>& names) {
  for (const std::string& name : names) SOTTO_RETURN_IF_ERROR(CheckMemberWord(name));
  return absl::OkStatus();
}

void AddKeysPrepare(Verb& keys) {
  Context& context = keys.context();
  keys.Sub("prepare", "step 1 by hand: a new key that all can open, and nobody seals with yet")
      .Example("sotto keys prepare", "then: status --wait, activate GEN")
      .Run([&context] { return RunPrepare(context); });
}

void AddKeysActivate(Verb& keys) {
  Context& context = keys.context();
  const auto flags = std::make_shared<Flags>();
  keys.Sub("activate", "step 3 by hand: all seal with a prepared key; the old one retires")
      .Word("GEN", &flags->generation, true, "the key's number")
      .List("--skip", &flags->skip, "MEMBER", "a living member that need not hold it (repeat)")
      .Text("--retire-after", &flags->retire_after, "TIME",
            "how long the old key stays readable; 0: until nobody needs it")
      .Example("sotto keys activate 13", "refused while a living member lacks it")
      .Run([&context, flags] { return RunActivate(context, *flags); });
}

void AddKeysRemove(Verb& keys) {
  Context& context = keys.context();
  const auto flags = std::make_shared<Flags>();
  keys.Sub("remove", "wipe a retired key, or give a prepared one up; for ever")
      .Word("GEN", &flags->generation, true, "the key's number")
      // Consent does not lie about in an environment.
      .ListOfWords("--yes-lock-out", &flags->lock_out, "MEMBER",
                   "a member that may lose its only key (repeat)")
      .Example("sotto keys remove 12", "refused while a member seals with no newer one")
      .Run([&context, flags] { return RunRemove(context, *flags); });
}

}  // namespace sotto::cli
