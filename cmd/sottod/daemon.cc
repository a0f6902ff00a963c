#include "cmd/sottod/daemon.h"

#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cmd/sottod/admin_server.h"
#include "cmd/sottod/clock.h"
#include "cmd/sottod/discovery_keeper.h"
#include "cmd/sottod/event_log.h"
#include "cmd/sottod/event_ring.h"
#include "cmd/sottod/handler_runner.h"
#include "cmd/sottod/health.h"
#include "cmd/sottod/key_desk.h"
#include "cmd/sottod/key_keeper.h"
#include "cmd/sottod/node_backend.h"
#include "cmd/sottod/peer_keeper.h"
#include "cmd/sottod/process.h"
#include "gossip/base/coded_error.h"
#include "store/database.h"
#include "store/unix_time.h"

namespace sotto {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::seconds kLeaveTimeout{5};
constexpr std::chrono::seconds kTickInterval{5};
constexpr std::chrono::seconds kAnswerGrace{1};

LogRecord FailureRecord(std::string event, const absl::Status& status) {
  std::string code = ErrorCode(status);
  if (code.empty()) code = "INTERNAL";
  return {LogLevel::kError,
          std::move(event),
          {{"code", std::move(code)}, {"message", std::string(status.message())}}};
}

std::string JoinEndpoints(const std::vector<Endpoint>& endpoints) {
  return absl::StrJoin(endpoints, ",", [](std::string* out, const Endpoint& endpoint) {
    out->append(ToString(endpoint));
  });
}

class Daemon {
 public:
  Daemon(const ConfigSources& sources, const ConfigResult& loaded, DaemonLog* log)
      : sources_(sources), loaded_(loaded), log_(log), signals_(io_), tick_(io_) {}

  // The signals are taken first: one that comes during the start is not lost.
  absl::Status Start(bool secrets_locked, bool accept_rollback);
  DaemonExit Run();

 private:
  void WaitForSignal();
  void OnSignal(int signal);
  void BeginLeave();
  void WaitForTick();
  void Tick();
  void LogReady();
  void OnItem(const WatchItem& item);
  void OnEvent(const Event& event, const NodeView& view);
  void OnUserEvent(const UserEvent& event);
  void OnQuery(const ReceivedQuery& query);
  [[noreturn]] void EndAtOnce();

  const ConfigSources sources_;
  const ConfigResult loaded_;
  DaemonLog* const log_;
  EventRing events_;
  asio::io_context io_{1};
  asio::signal_set signals_;
  asio::steady_timer tick_;
  bool leaving_ = false;
  std::string health_ = "healthy";

  std::atomic<int64_t> key_trouble_ns_{0};

  // Destroyed from the last to the first.
  std::unique_ptr<PeerKeeper> peers_;
  std::unique_ptr<HandlerRunner> handlers_;
  RunningParts parts_;
  // The node, which the keeper's thread uses, is its courier's holder and goes before it.
  struct KeyStop {
    KeyKeeper* keeper = nullptr;
    ~KeyStop() {
      if (keeper != nullptr) keeper->Stop();
    }
  } key_stop_;
  std::unique_ptr<KeyDesk> key_desk_;
  std::unique_ptr<DiscoveryKeeper> discovery_;
  std::unique_ptr<NodeBackend> backend_;
  std::unique_ptr<Node::Subscription> subscription_;
  std::unique_ptr<AdminServer> server_;
  std::thread leaver_;
  std::thread reloader_;
};

absl::Status Daemon::Start(bool secrets_locked, bool accept_rollback) {
  error_code ignored;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) signals_.add(signal, ignored);

  const Config& config = loaded_.config;
  // Before anything is told to the cluster: a second daemon with these settings ends here.
  absl::StatusOr<std::unique_ptr<AdminSocket>> socket =
      AdminSocket::Open(config.admin.socket, config.admin.group);
  if (!socket.ok()) return socket.status();
  absl::StatusOr<RunningParts> parts = StartParts(
      config, accept_rollback, [log = log_](const LogRecord& record) { log->Write(record); });
  if (!parts.ok()) return parts.status();
  parts_ = *std::move(parts);

  NodeBackend::Parts view;
  view.node = parts_.node.get();
  view.log = log_;
  view.key_trouble_ns = &key_trouble_ns_;
  view.store_url = parts_.database->display_url();
  view.lasting_notes = CheckAdvertised(config, *parts_.node->View());
  if (!secrets_locked) {
    view.lasting_notes.push_back({"NO_SECURE_HEAP", NoteLevel::kNote,
                                  "memory for keys could not be locked; raise LimitMEMLOCK"});
  }
  for (const HealthNote& note : view.lasting_notes) {
    log_->Write({LogLevel::kWarn, "start_note", {{"code", note.code}, {"message", note.text}}});
  }
  absl::StatusOr<std::vector<CertificateSummary>> certificates =
      SummarizeCertificates(parts_.tls_files, config.node.cluster);
  if (!certificates.ok()) return certificates.status();
  view.certificates = *std::move(certificates);
  view.on_left = [this] { asio::post(io_, [this] { io_.stop(); }); };
  peers_ = std::make_unique<PeerKeeper>(
      std::move(parts_.peers), [log = log_](const LogRecord& record) { log->Write(record); });
  view.peers = peers_.get();
  handlers_ = std::make_unique<HandlerRunner>(
      config.handlers, HandlerIdentity{config.node.cluster, config.node.name, config.admin.socket},
      config.node.tags, [log = log_](const LogRecord& record) { log->Write(record); });
  view.handlers = handlers_.get();

  view.key_cache = parts_.key_cache.get();
  view.kek_loader = parts_.kek_loader;
  view.keeper = parts_.keeper.get();
  key_desk_ = std::make_unique<KeyDesk>(parts_.keeper.get(), parts_.node.get(), view.store_url);
  view.key_desk = key_desk_.get();
  key_stop_.keeper = parts_.keeper.get();
  parts_.keeper->Begin(parts_.node.get());
  if (config.discovery.enabled) {
    DiscoveryKeeper::Options options;
    options.cluster = config.node.cluster;
    options.node = config.node.name;
    options.interval = std::chrono::milliseconds(config.discovery.interval.millis());
    options.log = [log = log_](const LogRecord& record) { log->Write(record); };
    discovery_ =
        std::make_unique<DiscoveryKeeper>(std::move(options), parts_.database, parts_.node.get());
  }
  view.discovery = discovery_.get();
  backend_ = std::make_unique<NodeBackend>(std::move(view), sources_, loaded_,
                                           std::move(parts_.tls_files));
  subscription_ = parts_.node->Watch([this](const WatchItem& item) { OnItem(item); },
                                     WatchOptions{.answers_queries = true});

  server_ = std::make_unique<AdminServer>(AdminServer::Options(), *std::move(socket),
                                          backend_.get(), &events_);
  LogReady();
  return absl::OkStatus();
}

void Daemon::LogReady() {
  const std::shared_ptr<const NodeView> view = parts_.node->View();
  const Config& config = loaded_.config;
  log_->Write({LogLevel::kInfo,
               "ready",
               {{"cluster", config.node.cluster},
                {"node", config.node.name},
                {"bound", JoinEndpoints(view->bound)},
                {"advertised", JoinEndpoints(view->advertised)},
                {"cipher", std::string(ToString(view->algorithm))},
                {"key", ToString(view->sealing_key)},
                {"boot", absl::StrCat(parts_.boot_number)},
                {"admin", config.admin.socket}}});
  NotifyReady();
}

DaemonExit Daemon::Run() {
  WaitForSignal();
  WaitForTick();
  Tick();
  io_.run();

  NotifyStopping();
  const bool all_done = server_->Stop(kAnswerGrace);
  if (leaver_.joinable()) leaver_.join();
  if (reloader_.joinable()) reloader_.join();
  // It has said goodbye: nobody is to look for it here.
  if (discovery_ != nullptr) discovery_->Stop(/*remove=*/true);
  // Before the node goes, whose queries they answer.
  handlers_->Replace({});
  log_->Write({LogLevel::kInfo, "stopped", {{"node", loaded_.config.node.name}}});
  log_->Finish();
  // A command that still waits for its timeout holds a pool thread; the process does not wait for
  // it.
  if (!all_done) std::_Exit(kExitOk);
  return kExitOk;
}

void Daemon::WaitForSignal() {
  signals_.async_wait([this](error_code error, int signal) {
    if (error) return;
    OnSignal(signal);
    WaitForSignal();
  });
}

void Daemon::OnSignal(int signal) {
  if (signal == SIGHUP) {
    if (leaving_) return;
    // Off this thread, which has to hear the next signal. One reload at a time; a signal during one
    // waits for it, because the file may have changed since.
    if (reloader_.joinable()) reloader_.join();
    reloader_ = std::thread([this] {
      const auto outcome = backend_->Reload();
      static_cast<void>(outcome);  // logged by the backend
    });
    return;
  }
  if (leaving_) EndAtOnce();
  BeginLeave();
}

void Daemon::BeginLeave() {
  leaving_ = true;
  peers_->BeginLeave();
  NotifyStopping();
  log_->Write({LogLevel::kInfo, "leaving", {{"node", loaded_.config.node.name}}});
  leaver_ = std::thread([this] {
    const absl::Status status = parts_.node->Leave(kLeaveTimeout);
    if (!status.ok()) {
      log_->Write({LogLevel::kWarn, "leave_unheard", {{"message", std::string(status.message())}}});
    }
    asio::post(io_, [this] { io_.stop(); });
  });
}

void Daemon::EndAtOnce() {
  log_->Write({LogLevel::kWarn, "ended_at_once", {{"node", loaded_.config.node.name}}});
  server_->Stop(std::chrono::milliseconds(0));
  log_->Finish();
  std::_Exit(kExitFailed);
}

void Daemon::WaitForTick() {
  tick_.expires_after(kTickInterval);
  tick_.async_wait([this](error_code error) {
    if (error) return;
    Tick();
    WaitForTick();
  });
}

// Every few seconds: counts held back by the log, the service manager's status line, and a word
// when health has changed.
void Daemon::Tick() {
  log_->Tick();
  const DaemonSnapshot snapshot = backend_->Snapshot();
  const std::vector<HealthNote> notes = FindHealthNotes(snapshot);
  const std::string health(OverallHealth(notes));
  size_t alive = 0;
  for (const MemberInfo& member : snapshot.view->members) {
    alive += member.state == MemberState::kAlive ? 1 : 0;
  }
  NotifyStatus(
      absl::StrCat(alive, " alive, key ", ToString(snapshot.view->sealing_key), ", ", health)
          .c_str());
  if (health == health_) return;
  health_ = health;
  LogRecord record{health == "healthy" ? LogLevel::kInfo : LogLevel::kWarn,
                   "health_changed",
                   {{"health", health}}};
  if (!notes.empty() && notes.front().level != NoteLevel::kNote) {
    record.fields.emplace_back("code", notes.front().code);
    record.fields.emplace_back("message", notes.front().text);
  }
  log_->Write(record);
}

void Daemon::OnItem(const WatchItem& item) {
  peers_->Note(item.view);
  if (const auto* snapshot = std::get_if<WatchSnapshot>(&item.body); snapshot != nullptr) {
    if (snapshot->missed == 0) {
      // The node was running before anybody listened.
      for (const Event& event : EventsBefore(*snapshot->view)) OnEvent(event, *snapshot->view);
      return;
    }
    log_->Write({LogLevel::kWarn, "events_missed", {{"count", absl::StrCat(snapshot->missed)}}});
  } else if (const auto* event = std::get_if<Event>(&item.body); event != nullptr) {
    OnEvent(*event, *item.view);
  } else if (const auto* said = std::get_if<UserEvent>(&item.body); said != nullptr) {
    OnUserEvent(*said);
  } else if (const auto* query = std::get_if<ReceivedQuery>(&item.body); query != nullptr) {
    OnQuery(*query);
  }
}

void Daemon::OnEvent(const Event& event, const NodeView& view) {
  if (event.kind == EventKind::kKeyTrouble) key_trouble_ns_ = SteadyNanos();
  const LogRecord record = ToLogRecord(event);
  log_->Write(record);
  RingEvent shown = ToRingEvent(event, UnixMillis());
  if (event.kind == EventKind::kSuspected || event.kind == EventKind::kDied) {
    const std::string evidence = LastEvidence(backend_->Cases(event.member));
    if (!evidence.empty()) {
      shown.detail += (shown.detail.empty() ? "" : "; ") + evidence;
    }
  }
  events_.Append(std::move(shown));
  // What an operator must see at once does not wait for the next look at health.
  if (event.kind == EventKind::kIsolated || event.kind == EventKind::kMinority ||
      event.kind == EventKind::kReconnected || event.kind == EventKind::kSendsRefused) {
    asio::post(io_, [this] { Tick(); });
  }
  const MemberInfo* member = nullptr;
  for (const MemberInfo& row : view.members) {
    if (row.name == event.member) member = &row;
  }
  handlers_->OnEvent(record.event, event, member);
}

void Daemon::OnUserEvent(const UserEvent& event) {
  events_.Append(ToRingEvent(event, UnixMillis()));
  handlers_->OnUserEvent({event.from, event.name, event.payload, event.lamport, event.replayed});
}

void Daemon::OnQuery(const ReceivedQuery& query) {
  events_.Append(ToRingEvent(query, UnixMillis()));
  const std::chrono::steady_clock::time_point deadline{
      std::chrono::nanoseconds(query.deadline.nanos())};
  const auto answer = [node = parts_.node.get(), id = query.id](const std::string& payload) {
    // Too late is no fault: the query may have ended while the program ran.
    const absl::Status ignored = node->Answer(id, payload);
    static_cast<void>(ignored);
  };
  // Who asks need not wait for a node that has no program for it.
  const HandlerMessage message{query.from, query.name, query.payload, 0, false};
  if (!handlers_->OnQuery(message, deadline, answer)) answer("");
}

}  // namespace

DaemonExit RunDaemon(const ConfigSources& sources, const ConfigResult& loaded, DaemonLog* log,
                     bool secrets_locked, bool accept_rollback) {
  Daemon daemon(sources, loaded, log);
  if (const absl::Status status = daemon.Start(secrets_locked, accept_rollback); !status.ok()) {
    LogRecord record = FailureRecord("start_failed", status);
    const DaemonExit code = ExitCodeOf(status);
    record.fields.emplace_back("exit", absl::StrCat(static_cast<int>(code)));
    log->Write(record);
    log->Finish();
    return code;
  }
  return daemon.Run();
}

}  // namespace sotto
