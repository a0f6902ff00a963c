#include "cmd/sotto/commands/kek_store.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "cmd/sotto/commands/kek_holders.h"
#include "cmd/sotto/commands/keys.h"
#include "cmd/sotto/commands/local_files.h"
#include "cmd/sotto/commands/store_target.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/progress.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/file_rules.h"
#include "store/kek_rekey.h"
#include "store/open_store.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

constexpr double kLookSeconds = 10;
constexpr double kRekeySeconds = 60;

struct Flags {
  StoreFlags store;
  std::string backup, rollback;
  std::vector<std::string> skip;
  bool dry_run = false;
  bool accept_plain = false;
};

SqlTime DeadlineIn(double seconds) {
  return std::chrono::steady_clock::now() +
         std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

struct Looked {
  StoreTarget target;
  KekSurvey survey;
};

absl::StatusOr<Looked> Look(const Context& context, const Flags& flags) {
  Looked out;
  SOTTO_ASSIGN_OR_RETURN(out.target, StoreTargetOf(context, flags.store));
  // Whatever the configuration allows: a look makes nothing.
  out.target.options.create = false;
  SOTTO_ASSIGN_OR_RETURN(const auto database, OpenDatabase(out.target.url, out.target.options));
  SOTTO_ASSIGN_OR_RETURN(out.survey, SurveyStore(*database, out.target.cluster, out.target.policy,
                                                 DeadlineIn(context.TimeoutOr(kLookSeconds))));
  return out;
}

json::array RowsOf(const KekSurvey& survey) {
  json::array rows;
  for (const KekUsage& usage : survey.keks) {
    json::array generations;
    for (const uint64_t generation : usage.generations) generations.emplace_back(generation);
    rows.push_back(
        json::object{{"id", usage.id ? json::value(ToString(*usage.id)) : json::value(nullptr)},
                     {"state", std::string(ToString(usage.state))},
                     {"generations", std::move(generations)},
                     {"systems", usage.systems}});
  }
  return rows;
}

bool IsMissing(const KekSurvey& survey) {
  for (const KekUsage& usage : survey.keks) {
    if (usage.state == KekState::kMissing) return true;
  }
  return false;
}

std::string GenerationsOf(const json::value& row) {
  std::string out;
  for (const json::value& generation : ArrayOf(Member(row, "generations"))) {
    if (!out.empty()) out += ' ';
    out += PlainOf(generation);
  }
  return out;
}

std::string ColorOf(const json::value& row) {
  const std::string state = TextOf(Member(row, "state"));
  if (state == ToString(KekState::kMissing)) return "red";
  if (state == ToString(KekState::kActive)) return "green";
  const bool open =
      state == ToString(KekState::kRekeyPending) || state == ToString(KekState::kLegacy);
  return open ? "yellow" : "";
}

ListView KekView() {
  ListView view;
  view.fields.push_back({.name = "KEK", .text = [](const json::value& row) {
                           const json::value& id = Member(row, "id");
                           return id.is_null() ? std::string("(plain)") : TextOf(id);
                         }});
  view.fields.push_back(
      {.name = "STATE",
       .text = [](const json::value& row) { return TextOf(Member(row, "state")); },
       .color = ColorOf});
  view.fields.push_back({.name = "GENERATIONS", .text = GenerationsOf});
  view.fields.push_back({.name = "SYSTEMS", .text = [](const json::value& row) {
                           return std::string(TrueOf(Member(row, "systems")) ? "yes" : "no");
                         }});
  view.empty = "no key-encryption key is named, and the store holds no key";
  return view;
}

// `is_lacked`: by living members, which cannot open what is wrapped anew.
void SayWhatToDo(Context& context, const KekSurvey& survey, bool is_lacked = false) {
  for (const KekUsage& usage : survey.keks) {
    const std::string id = usage.id ? ToString(*usage.id) : "";
    if (usage.state == KekState::kMissing) {
      context.Note("MISSING KEY: bring back the key-encryption key " + id +
                   "; without it its values are lost");
    } else if (usage.state == KekState::kRekeyPending) {
      context.Note("values are wrapped under the retired " + id +
                   (is_lacked ? ": load the active one everywhere, then " : ": ") +
                   "sotto kek rekey");
    } else if (usage.state == KekState::kSafeToRemove) {
      context.Note("no value of this cluster here is wrapped under " + id +
                   "; other clusters, backups and nodes that were away may still need it");
    }
  }
}

int RunList(Context& context, const Flags& flags) {
  const auto looked = Look(context, flags);
  if (!looked.ok()) return context.Fail(looked.status());
  const json::value envelope = LocalEnvelope("sotto.keks/1", RowsOf(looked->survey));
  const int exit = PrintList(context, envelope, KekView());
  SayWhatToDo(context, looked->survey);
  return exit == kExitOk && IsMissing(looked->survey) ? kExitFailed : exit;
}

// What living members have loaded, added to the rows of the survey.
void AddHolders(const KekSurvey& survey, const KekHolders& holders, json::array* rows) {
  const auto names = [](const std::vector<std::string>& list) {
    return json::array(list.begin(), list.end());
  };
  for (size_t i = 0; i < rows->size(); ++i) {
    if (!survey.keks[i].id) continue;
    json::object& row = (*rows)[i].as_object();
    row["loaded_by"] = names(holders.Having(*survey.keks[i].id));
    row["not_loaded_by"] = names(holders.Lacking(*survey.keks[i].id));
  }
}

// Living members that cannot open what this KEK wraps, or is about to.
bool IsNeeded(const KekUsage& usage) {
  return usage.state == KekState::kActive || usage.state == KekState::kRekeyPending;
}

bool IsLackedByMembers(const KekSurvey& survey, const KekHolders& holders) {
  return std::any_of(survey.keks.begin(), survey.keks.end(), [&](const KekUsage& usage) {
    return usage.id && IsNeeded(usage) && !holders.Lacking(*usage.id).empty();
  });
}

void PrintCheck(std::ostream& out, const KekSurvey& survey, const json::array& rows,
                const std::optional<KekHolders>& holders) {
  for (const json::value& row : rows) {
    const json::value& id = Member(row, "id");
    const std::string generations = GenerationsOf(row);
    out << (id.is_null() ? "(plain)" : TextOf(id)) << "  " << TextOf(Member(row, "state"))
        << "  generations: " << (generations.empty() ? "none" : generations)
        << (TrueOf(Member(row, "systems")) ? ", Systems" : "");
    if (holders && !id.is_null()) {
      out << "  loaded by " << ArrayOf(Member(row, "loaded_by")).size() << " of "
          << Plural(holders->living(), "living member");
    }
    out << '\n';
  }
  for (const KekTrouble& trouble : survey.troubles) {
    out << "does not open: " << trouble.where << ": " << Escape(Describe(trouble.status)) << '\n';
  }
  if (!holders) {
    out << "no sottod of this cluster answers here: what its members have loaded is not known\n";
    return;
  }
  for (const KekUsage& usage : survey.keks) {
    if (!usage.id || !IsNeeded(usage)) continue;
    for (const std::string& name : holders->Lacking(*usage.id)) {
      out << Escape(name) << " has not loaded " << ToString(*usage.id) << '\n';
    }
  }
  for (const std::string& name : holders->Silent()) {
    out << Escape(name) << " does not say what it has loaded\n";
  }
}

int RunCheck(Context& context, const Flags& flags) {
  const auto looked = Look(context, flags);
  if (!looked.ok()) return context.Fail(looked.status());
  const auto holders = KekHolders::Ask(context, looked->target.cluster);
  json::array troubles;
  for (const KekTrouble& trouble : looked->survey.troubles) {
    troubles.push_back(json::object{{"where", trouble.where},
                                    {"code", ErrorCode(trouble.status)},
                                    {"message", std::string(trouble.status.message())}});
  }
  json::array rows = RowsOf(looked->survey);
  json::value silent;
  bool is_lacked = false;
  if (holders) {
    AddHolders(looked->survey, *holders, &rows);
    const std::vector<std::string> names = holders->Silent();
    silent = json::array(names.begin(), names.end());
    is_lacked = IsLackedByMembers(looked->survey, *holders);
  }
  const bool good = troubles.empty() && !IsMissing(looked->survey) && !is_lacked;
  const json::value envelope =
      LocalEnvelope("sotto.kek_check/1", {{"cluster", looked->target.cluster},
                                          {"store", looked->target.shown},
                                          {"ok", good},
                                          {"keks", rows},
                                          {"troubles", std::move(troubles)},
                                          {"silent", silent}});
  const int exit = PrintOne(context, envelope, [&](std::ostream& out) {
    PrintCheck(out, looked->survey, rows, holders);
  });
  SayWhatToDo(context, looked->survey, is_lacked);
  if (exit != kExitOk) return exit;
  if (!good) return kExitFailed;
  return holders && !holders->Silent().empty() ? kExitPartial : kExitOk;
}

absl::StatusOr<RekeyReport> Change(Context& context, const Flags& flags,
                                   const StoreTarget& target) {
  SOTTO_ASSIGN_OR_RETURN(const auto database, OpenDatabase(target.url, target.options));
  const std::string& file = flags.rollback.empty() ? flags.backup : flags.rollback;
  Progress progress(context);
  RekeyParams params;
  params.cluster = target.cluster;
  params.policy = target.policy;
  if (flags.accept_plain) params.policy.accept_plain = true;
  params.actor = LocalActor();
  params.now_ms = NowUnixMs();
  params.deadline = DeadlineIn(context.TimeoutOr(kRekeySeconds));
  params.dry_run = flags.dry_run;
  params.backup = file;
  if (!file.empty()) params.also_owner = FolderOwner(FolderOf(file));
  params.allow = [&](const std::vector<KekId>& keks) {
    const auto holders = KekHolders::Ask(context, target.cluster);
    if (holders && !holders->Absent().empty()) {
      context.Note("absent: " + JoinWords(holders->Absent()) +
                   "; without the key-encryption key they do not start again");
    }
    if (holders) return holders->Check(keks, flags.skip);
    context.Note("no sottod of this cluster answers here: whether every member has loaded " +
                 ToString(keks.front()) + " is not known");
    return absl::OkStatus();
  };
  params.progress = [&progress](std::string_view step) {
    progress.Update(std::string(step), {{"step", std::string(step)}});
  };
  return flags.rollback.empty() ? RekeyStore(*database, params) : RollBackStore(*database, params);
}

std::string SentenceOf(const Flags& flags, const StoreTarget& target, const RekeyReport& report) {
  const std::string count = Plural(report.changed, "value");
  const std::string rest = report.as_they_were == 0
                               ? ""
                               : "; " + Plural(report.as_they_were, "value") + " as it should be";
  if (!flags.rollback.empty()) {
    return count + (flags.dry_run ? " would be" : "") + " put back from " + flags.rollback;
  }
  return count + (flags.dry_run ? " would be" : "") + " wrapped under " +
         ToString(target.policy.keks->active()->id()) + rest;
}

int RunRekey(Context& context, const Flags& flags) {
  if (!flags.backup.empty() && !flags.rollback.empty()) {
    Complaint complaint{kExitUsage, "USAGE", "--backup and --rollback exclude each other", {}};
    return context.Fail(complaint.Add("do", "sotto kek rekey --backup FILE; or --rollback FILE"));
  }
  const absl::Status named = CheckMemberWords(flags.skip);
  if (!named.ok()) return context.Fail(named);
  const auto target = StoreTargetOf(context, flags.store);
  if (!target.ok()) return context.Fail(target.status());
  const auto report = Change(context, flags, *target);
  if (!report.ok()) return context.Fail(report.status());
  json::array skipped;
  for (const auto& [where, why] : report->skipped) {
    skipped.push_back(json::object{{"where", where}, {"why", why}});
  }
  if (!flags.backup.empty() && !report->backed_up && !flags.dry_run && report->changed == 0) {
    context.Note("nothing was to be changed: " + flags.backup + " was not written");
  }
  const json::value file = report->backed_up ? json::value(flags.backup) : json::value(nullptr);
  const json::value envelope =
      LocalEnvelope("sotto.kek_rekey/1", {{"cluster", target->cluster},
                                          {"store", target->shown},
                                          {"kek", ToString(target->policy.keks->active()->id())},
                                          {"dry_run", flags.dry_run},
                                          {"rollback", !flags.rollback.empty()},
                                          {"changed", report->changed},
                                          {"unchanged", report->as_they_were},
                                          {"backup", file},
                                          {"skipped", std::move(skipped)}});
  const int exit = PrintDone(context, envelope, SentenceOf(flags, *target, *report));
  for (const auto& [where, why] : report->skipped) context.Note("skipped " + where + ": " + why);
  if (report->backed_up) context.Note("the values of before are in " + flags.backup + " (0600)");
  return exit == kExitOk && !report->skipped.empty() ? kExitPartial : exit;
}

Verb& AddStoreFlags(Verb& verb, StoreFlags* flags) {
  return verb.Text("--store", &flags->store, "URL", "instead of the configuration's; see store.url")
      .Text("--password-file", &flags->password_file, "FILE",
            "the password for a server's user, mode 0600")
      .Text("--cluster", &flags->cluster, "NAME", "instead of the configuration's")
      .Text("--kek", &flags->kek, "SOURCE", "instead of the configuration's encryption.kek")
      .Text("--kek-active", &flags->kek_active, "NAME", "the file of a folder that wraps");
}

}  // namespace

void AddKekStoreVerbs(Verb& kek) {
  Context& context = kek.context();
  const auto flags = std::make_shared<Flags>();
  Verb list = kek.Sub("ls", "each key-encryption key and what the store holds under it");
  AddStoreFlags(list, &flags->store)
      .Example("sotto kek ls", "active, retired, legacy, MISSING KEY (exit 1)")
      .Run([&context, flags] { return RunList(context, *flags); });
  Verb check =
      kek.Sub("check", "the same, opens every value, and asks the members what they have loaded");
  AddStoreFlags(check, &flags->store)
      .Example("sotto kek check",
               "exit 1 where a key is missing, here or at a member, or a value does not open")
      .Run([&context, flags] { return RunCheck(context, *flags); });
  Verb rekey = kek.Sub("rekey", "wraps every value of the store under the active one");
  AddStoreFlags(rekey, &flags->store)
      .Switch("--dry-run", &flags->dry_run, "open all, write nothing")
      .Switch("--accept-plain", &flags->accept_plain, "wrap plain values too")
      .Text("--backup", &flags->backup, "FILE", "the wrapped values of before, into a new file")
      .List("--skip", &flags->skip, "MEMBER", "a living member that need not have the key (repeat)")
      .Text("--rollback", &flags->rollback, "FILE", "put a backup's values back")
      .Example("sotto kek rekey --backup kek-2026.backup", "may be run again at any time")
      .Run([&context, flags] { return RunRekey(context, *flags); });
}

}  // namespace sotto::cli
