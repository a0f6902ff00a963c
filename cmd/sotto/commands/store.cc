// sotto store: what a cluster's keys lie in. `store copy` moves them to another database.
#include <boost/json/object.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "cmd/config/schema.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/commands/local_files.h"
#include "cmd/sotto/commands/store_target.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/progress.h"
#include "cmd/sotto/verb.h"
#include "gossip/base/status_macros.h"
#include "store/open_store.h"
#include "store/store_copy.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

constexpr double kCopySeconds = 60;

struct Flags {
  std::string from, to, password_from, password_to, cluster;
};

absl::StatusOr<std::shared_ptr<Database>> Open(const std::string& url,
                                               const std::string& password_file, bool create,
                                               std::chrono::milliseconds deadline) {
  StoreOptions options;
  options.create = create;
  options.deadline = deadline;
  SetPasswordFile(password_file, &options);
  SetFileOwner(url, &options);
  return OpenDatabase(url, options);
}

const char* WordsOf(int step) {
  switch (step) {
    case 1:
      return "locking and reading the source";
    case 2:
      return "writing the target";
    case 3:
      return "reading the target back";
    case 4:
      return "marking the source as moved";
    default:
      return "opening the target for changes";
  }
}

struct Copied {
  std::string from, to;  // for people
  StoreCopyReport report;
};

absl::StatusOr<Copied> Copy(Context& context, const Flags& flags, const std::string& cluster,
                            const std::string& from, const std::string& to) {
  const auto limit =
      std::chrono::milliseconds(static_cast<int64_t>(context.TimeoutOr(kCopySeconds) * 1000));
  SOTTO_ASSIGN_OR_RETURN(const auto source,
                         Open(from, flags.password_from, /*create=*/false, limit));
  SOTTO_ASSIGN_OR_RETURN(const auto target, Open(to, flags.password_to, /*create=*/true, limit));
  Progress progress(context);
  StoreCopyParams params;
  params.cluster = cluster;
  params.actor = LocalActor();
  params.now_ms = NowUnixMs();
  params.deadline = std::chrono::steady_clock::now() + limit;
  params.progress = [&progress](int step) {
    progress.Update(std::to_string(step) + "/5 " + WordsOf(step), {{"step", step}, {"steps", 5}});
  };
  SOTTO_ASSIGN_OR_RETURN(StoreCopyReport report, CopyStore(*source, *target, params));
  return Copied{source->display_url(), target->display_url(), std::move(report)};
}

int RunCopy(Context& context, const Flags& flags) {
  if (flags.from.empty() || flags.to.empty()) {
    Complaint complaint{
        kExitUsage, "USAGE", "\"sotto store copy\" needs --from URL and --to URL", {}};
    return context.Fail(complaint.Add("do",
                                      "sotto store copy --from sqlite:/var/lib/sotto/sotto.db --to "
                                      "postgres://sotto@db.internal/app"));
  }
  const auto cluster = ClusterOf(context, flags.cluster, "the name of the cluster to copy");
  if (!cluster.ok()) return context.Fail(cluster.status());
  const std::string to = WholeStoreUrl(flags.to);
  const auto copied = Copy(context, flags, *cluster, WholeStoreUrl(flags.from), to);
  if (!copied.ok()) return context.Fail(copied.status());
  const StoreCopyReport& report = copied->report;
  const json::value envelope =
      LocalEnvelope("sotto.store_copy/1", {{"cluster", *cluster},
                                           {"from", copied->from},
                                           {"to", copied->to},
                                           {"row", report.row},
                                           {"copied", report.copied},
                                           {"keys", report.keys},
                                           {"members", report.members},
                                           {"events", report.events},
                                           {"history_cut", report.history_cut}});
  const std::string what =
      report.copied ? "copied and compared: " + Plural(report.keys, "key") + ", " +
                          Plural(report.members, "member") + ", " + Plural(report.events, "event") +
                          ", row " + report.row
                    : "was copied before, and compared: the keys of " + copied->from + " are there";
  const int exit = PrintDone(context, envelope, *cluster + " to " + copied->to + ": " + what);
  if (report.history_cut) context.Note("the history is longer; its newest part was copied");
  context.Note("the keys can be changed in " + copied->to + " alone from now on; the nodes run on");
  // As it was given: with user and parameters. A URL with a password is none (store_url.h).
  context.Note("next, on one node after the other: set store.url = " + QuoteToml(to) +
               " (and store.password_file, where the user has one), restart sottod, sotto wait");
  return exit;
}

}  // namespace

void AddStore(Verb& root) {
  Context& context = root.context();
  const auto flags = std::make_shared<Flags>();
  Verb verb = root.Sub("store", "the database that the cluster's keys lie in");
  verb.Example(
      "sotto store copy --from sqlite:/var/lib/sotto/sotto.db --to postgres://sotto@db/app",
      "from a file to a server");
  verb.Sub("copy", "a cluster's keys, members and history to another database; nothing stops")
      .Text("--from", &flags->from, "URL", "the store of now; see store.url")
      .Text("--to", &flags->to, "URL", "the store to be, without keys of this cluster")
      .Text("--password-file-from", &flags->password_from, "FILE",
            "the password for the user of --from, mode 0600")
      .Text("--password-file-to", &flags->password_to, "FILE",
            "the password for the user of --to, mode 0600")
      .Text("--cluster", &flags->cluster, "NAME", "instead of the configuration's")
      .Example(
          "sotto store copy --from sqlite:/var/lib/sotto/sotto.db --to "
          "postgres://sotto@db/app",
          "may be run again at any time")
      .Run([&context, flags] { return RunCopy(context, *flags); });
}

}  // namespace sotto::cli
