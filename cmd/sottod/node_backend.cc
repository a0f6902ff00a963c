#include "cmd/sottod/node_backend.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cmd/sottod/clock.h"
#include "cmd/sottod/process.h"
#include "cmd/version.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/schema.h"
#include "store/unix_time.h"

namespace sotto {
namespace {

constexpr std::chrono::milliseconds kNodePatience = std::chrono::seconds(2);

StoreSummary SummarizeStore(const std::string& url, const KeyReport& report) {
  StoreSummary out;
  out.url = url;
  out.ok = report.status.ok();
  if (!out.ok) {
    out.code = ErrorCode(report.status);
    if (out.code.empty()) out.code = "DB_UNAVAILABLE";
    out.message = std::string(report.status.message());
  }
  if (report.last_read != std::chrono::system_clock::time_point()) {
    const std::chrono::duration<double> ago = std::chrono::system_clock::now() - report.last_read;
    out.last_read_s_ago = std::max(0.0, std::round(ago.count() * 1000) / 1000);
  }
  if (report.read_time.count() > 0) {
    out.read_ms = std::chrono::duration<double, std::milli>(report.read_time).count();
  }
  return out;
}

}  // namespace

NodeBackend::NodeBackend(Parts parts, ConfigSources sources, ConfigResult started, TlsFiles files)
    : parts_(std::move(parts)),
      talk_(parts_.node),
      config_(started.config),
      started_ns_(SteadyNanos()),
      kek_loader_(parts_.kek_loader),
      reloader_(std::move(sources), std::move(started), std::move(files),
                parts_.keeper->agent().policy().keks, this),
      tags_(config_.node.tags),
      certificates_(parts_.certificates),
      has_kek_(parts_.keeper->agent().policy().keks != nullptr) {}

NodeBackend::~NodeBackend() = default;

DaemonSnapshot NodeBackend::Look() const {
  DaemonSnapshot out;
  out.cluster = config_.node.cluster;
  out.node = config_.node.name;
  out.version = std::string(kVersion);
  out.pid = static_cast<int>(getpid());
  out.view = parts_.node->View();
  const int64_t now_ns = SteadyNanos();
  out.up_s = static_cast<double>((now_ns - started_ns_) / 1'000'000) / 1000;
  out.unix_ms = UnixMillis();
  out.now = Instant::FromNanos(now_ns);
  out.lasting_notes = parts_.lasting_notes;
  const KeyReport report = parts_.keeper->Report();
  out.store = SummarizeStore(parts_.store_url, report);
  const KeyRing ring = parts_.keeper->agent().ring();
  for (const RingKey& key : ring.keys) {
    out.keys.push_back({key.key->id(), key.key->algorithm(), key.key->generation(),
                        key.key->id() == ring.sealing ? report.kek : ""});
  }
  AddDiscoveryNote(&out);
  out.handlers = parts_.handlers->Stats();
  out.show_dead = config_.gossip.protocol.show_dead;
  out.show_left = config_.gossip.protocol.show_left;
  const int64_t trouble_ns = parts_.key_trouble_ns->load(std::memory_order_relaxed);
  if (trouble_ns != 0) out.key_trouble_s_ago = static_cast<double>(now_ns - trouble_ns) / 1e9;
  std::lock_guard lock(mutex_);
  out.certificates = certificates_;
  AddKeyNotes(report, &out);
  if (!reload_refusal_.empty()) {
    out.lasting_notes.push_back(
        {"RELOAD_FAILED", NoteLevel::kYellow,
         absl::StrCat("the last reload was refused, nothing has changed: ", reload_refusal_)});
  }
  return out;
}

void NodeBackend::AddDiscoveryNote(DaemonSnapshot* out) const {
  // A database that is away is told of already.
  if (parts_.discovery == nullptr || !out->store.ok) return;
  const absl::Status status = parts_.discovery->Report();
  if (status.ok()) return;
  std::string text = absl::StrCat(
      "this node does not find others through the database, or is not "
      "found: ",
      Describe(status));
  if (IsNotAllowed(status)) {
    absl::StrAppend(&text, "; its role needs SELECT, INSERT, UPDATE and DELETE on ",
                    "ClusterDiscovery, or set discovery.enabled = false");
  }
  out->lasting_notes.push_back({"DISCOVERY_FAILED", NoteLevel::kYellow, std::move(text)});
}

// Under mutex_.
void NodeBackend::AddKeyNotes(const KeyReport& report, DaemonSnapshot* out) const {
  if (report.from_cache) {
    out->lasting_notes.push_back(
        {"KEY_FROM_CACHE", NoteLevel::kYellow,
         "this node was started with the keys of its cache, and the database was not read since"});
  } else if (has_kek_ && report.kek.empty()) {
    out->lasting_notes.push_back(
        {"KEY_PLAIN", NoteLevel::kYellow,
         "the row holds the key unwrapped, although this node has a key-encryption key"});
  }
  if (!report.blocked.ok()) {
    out->lasting_notes.push_back(
        {ErrorCode(report.blocked), NoteLevel::kYellow, std::string(report.blocked.message())});
  }
}

DaemonSnapshot NodeBackend::Snapshot() const {
  DaemonSnapshot out = Look();
  if (!parts_.node->IsResponsive(kNodePatience)) {
    out.lasting_notes.push_back(
        {"NODE_UNRESPONSIVE", NoteLevel::kRed, "the protocol loop has not answered for 2 s"});
    std::lock_guard lock(mutex_);
    out.stats = last_stats_;
    out.refusals = last_refusals_;
    return out;
  }
  out.stats = parts_.node->Stats();
  out.refusals = parts_.node->Refusals();
  std::lock_guard lock(mutex_);
  last_stats_ = out.stats;
  last_refusals_ = out.refusals;
  return out;
}

std::vector<Tag> NodeBackend::Tags() const {
  std::lock_guard lock(mutex_);
  return tags_;
}

absl::StatusOr<int> NodeBackend::Join(const std::vector<std::string>& contacts,
                                      std::chrono::milliseconds timeout) {
  return parts_.node->Join(contacts, timeout);
}

absl::StatusOr<bool> NodeBackend::Leave(std::chrono::milliseconds timeout) {
  // Written down first: whatever happens during the goodbye, this node does not come back by
  // itself.
  parts_.peers->MarkLeft(true);
  const absl::Status status = parts_.node->Leave(timeout);
  const bool unheard = absl::IsDeadlineExceeded(status);
  if (!status.ok() && !unheard) {
    parts_.peers->MarkLeft(false);
    return status;
  }
  // Nobody waits for a key of who is gone for good. The answer does not wait for a database.
  const absl::Status forgotten = parts_.keeper->GiveUpRow();
  if (!forgotten.ok()) {
    parts_.log->Write(
        {LogLevel::kWarn,
         "key_row_not_removed",
         {{"code", ErrorCode(forgotten)}, {"message", std::string(forgotten.message())}}});
  }
  parts_.on_left();
  return !unheard;
}

absl::Status NodeBackend::Forget(std::string_view name) {
  const absl::Status status = parts_.node->Forget(name);
  // One whom gossip no longer knows may still have a row that keeps a key in use.
  if (!status.ok() && ErrorCode(status) != "MEMBER_UNKNOWN") return status;
  const absl::StatusOr<bool> had_row = parts_.key_desk->ForgetMember(name);
  if (!status.ok()) return had_row.ok() && *had_row ? absl::OkStatus() : status;
  if (!had_row.ok()) {
    return WithContext(had_row.status(),
                       absl::StrCat("gossip has forgotten ", std::string(name),
                                    ", its row in the store is still there; forget it again"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Tag>> NodeBackend::ChangeTags(const std::vector<Tag>& set,
                                                         const std::vector<std::string>& unset) {
  std::lock_guard change(change_mutex_);
  std::vector<Tag> tags = Tags();
  const auto drop = [&](const std::string& key) {
    std::erase_if(tags, [&](const Tag& tag) { return tag.key == key; });
  };
  for (const std::string& key : unset) drop(key);
  for (const Tag& tag : set) {
    drop(tag.key);
    tags.push_back(tag);
  }
  std::sort(tags.begin(), tags.end());
  SOTTO_RETURN_IF_ERROR(ApplyTags(tags));
  return tags;
}

absl::StatusOr<ReloadSummary> NodeBackend::Reload() {
  std::lock_guard change(change_mutex_);
  NotifyReloading();
  const absl::StatusOr<ReloadSummary> result = reloader_.Run();
  NotifyReady();
  // A log file that was moved aside is opened anew, whatever became of the rest.
  if (const absl::Status status = parts_.log->Reopen(); !status.ok()) {
    parts_.log->Write({LogLevel::kWarn,
                       "log_not_reopened",
                       {{"code", ErrorCode(status)}, {"message", std::string(status.message())}}});
  }
  LogReload(result);
  std::lock_guard lock(mutex_);
  reload_refusal_ =
      result.ok() ? ""
                  : absl::StrReplaceAll(std::string(result.status().message()), {{"\n", "; "}});
  return result;
}

void NodeBackend::LogReload(const absl::StatusOr<ReloadSummary>& result) {
  if (!result.ok()) {
    parts_.log->Write({LogLevel::kError,
                       "reload_refused",
                       {{"code", ErrorCode(result.status())},
                        {"message", std::string(result.status().message())}}});
    return;
  }
  LogRecord record{
      result->needs_restart.empty() ? LogLevel::kInfo : LogLevel::kWarn,
      "reloaded",
      {{"applied", result->applied.empty() ? "none" : absl::StrJoin(result->applied, ",")}}};
  if (!result->needs_restart.empty()) {
    record.fields.emplace_back("needs_restart", absl::StrJoin(result->needs_restart, ","));
  }
  parts_.log->Write(record);
}

absl::Status NodeBackend::SendEvent(const EventOrder& order) { return talk_.SendEvent(order); }

absl::Status NodeBackend::Query(const QueryOrder& order, OnReply on_reply, OnQueryEnd on_end) {
  return talk_.Query(order, std::move(on_reply), std::move(on_end));
}

absl::StatusOr<PingOutcome> NodeBackend::Ping(std::string_view member,
                                              std::chrono::milliseconds timeout) {
  return talk_.Ping(member, timeout);
}

absl::StatusOr<Duration> NodeBackend::Rtt(std::string_view a, std::string_view b) {
  return parts_.node->Rtt(a, b);
}

absl::StatusOr<ReachReport> NodeBackend::Reach(std::chrono::milliseconds timeout) {
  return talk_.Reach(timeout);
}

std::vector<CaseSummary> NodeBackend::Cases(std::string_view member) { return talk_.Cases(member); }

void NodeBackend::Audit(std::string_view call, int64_t uid, int64_t pid,
                        const absl::Status& outcome) {
  LogRecord record{LogLevel::kInfo,
                   "admin_call",
                   {{"call", std::string(call)},
                    {"uid", absl::StrCat(uid)},
                    {"pid", absl::StrCat(pid)},
                    {"result", outcome.ok() ? "ok" : "refused"}}};
  if (!outcome.ok()) {
    if (ErrorCode(outcome) == "NOT_PERMITTED") record.level = LogLevel::kWarn;
    record.fields.emplace_back("code", ErrorCode(outcome));
  }
  parts_.log->Write(record);
}

absl::Status NodeBackend::ApplyTls(const TlsFiles& files) {
  SOTTO_ASSIGN_OR_RETURN(std::vector<CertificateSummary> certificates,
                         SummarizeCertificates(files, config_.node.cluster));
  SOTTO_RETURN_IF_ERROR(parts_.node->ReloadTls(ToMaterial(files)));
  std::lock_guard lock(mutex_);
  certificates_ = std::move(certificates);
  return absl::OkStatus();
}

absl::Status NodeBackend::ApplyTags(const std::vector<Tag>& tags) {
  SOTTO_RETURN_IF_ERROR(parts_.node->SetTags(tags));
  parts_.handlers->SetTags(tags);
  std::lock_guard lock(mutex_);
  tags_ = tags;
  return absl::OkStatus();
}

void NodeBackend::ApplyLogLevel(LogLevel level) { parts_.log->set_level(level); }

absl::StatusOr<KekRingRef> NodeBackend::ReadKeks(const Config& config) {
  return kek_loader_.Load(KekSettingsOf(config));
}

void NodeBackend::ApplyKeks(const Config& config, const KekRingRef& keks) {
  parts_.keeper->agent().SetKeks(keks, config.encryption.accept_plain_update);
  parts_.key_cache->SetKeks(UsesKeyCache(config_) ? keks : nullptr);
  {
    std::lock_guard lock(mutex_);
    has_kek_ = keks != nullptr;
  }
  parts_.keeper->Wake(KeyWake::kNow);
}

void NodeBackend::ApplyHandlers(const std::vector<HandlerConfig>& handlers) {
  parts_.handlers->Replace(handlers);
}

}  // namespace sotto
