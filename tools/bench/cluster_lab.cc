#include "tools/bench/cluster_lab.h"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <ctime>
#include <thread>
#include <utility>
#include <variant>

#include "crypto/authority.h"
#include "gossip/base/status_macros.h"
#include "gossip/endpoint_text.h"

namespace sotto::bench {
namespace {

constexpr int64_t kDayS = 86'400;

}  // namespace

void Observer::Hear(const WatchItem& item) {
  const Clock::time_point now = Clock::now();
  const std::lock_guard lock(mutex_);
  if (const auto* snapshot = std::get_if<WatchSnapshot>(&item.body)) {
    for (const MemberInfo& member : snapshot->view->members) {
      Count(member.name, member.state <= MemberState::kSuspect);
    }
    return;
  }
  if (const auto* said = std::get_if<UserEvent>(&item.body)) events_.emplace(said->name, now);
  const auto* event = std::get_if<Event>(&item.body);
  if (event == nullptr) return;
  switch (event->kind) {
    case EventKind::kJoined:
    case EventKind::kReturned:
      Count(event->member, true);
      break;
    case EventKind::kDied:
      deaths_.emplace(event->member, now);
      [[fallthrough]];
    case EventKind::kLeft:
    case EventKind::kForgotten:
      Count(event->member, false);
      break;
    default:
      break;
  }
}

void Observer::Count(const std::string& name, bool living) {
  const size_t index = ClusterLab::IndexOf(name);
  if (index >= living_.size() || living_[index] == living) return;
  living_[index] = living;
  living_count_ += living ? 1 : -1;
}

size_t Observer::Living() const {
  const std::lock_guard lock(mutex_);
  return living_count_;
}

std::optional<Clock::time_point> Observer::DeadSince(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto at = deaths_.find(name);
  if (at == deaths_.end()) return std::nullopt;
  return at->second;
}

std::optional<Clock::time_point> Observer::HeardAt(const std::string& event) const {
  const std::lock_guard lock(mutex_);
  const auto at = events_.find(event);
  if (at == events_.end()) return std::nullopt;
  return at->second;
}

size_t Observer::FalseDeaths(const std::vector<std::string>& killed) const {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(std::count_if(deaths_.begin(), deaths_.end(), [&](const auto& death) {
    return std::find(killed.begin(), killed.end(), death.first) == killed.end();
  }));
}

// One io_context for each thread, and each node on one of them: with several threads on one, Asio
// wakes one from the other for every datagram.
class ClusterLab::Loop {
 public:
  explicit Loop(const ClusterOptions& options)
      : last_(options.nodes - 1), shared_(options.threads), last_alone_(options.last_alone) {
    const size_t contexts = shared_ + (last_alone_ ? 1 : 0);
    for (size_t i = 0; i < contexts; ++i) contexts_.push_back(std::make_unique<Context>());
  }
  ~Loop() { Stop(); }
  void Stop() {
    for (const auto& context : contexts_) context->io.stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  boost::asio::io_context& IoOf(size_t node) {
    if (last_alone_ && node == last_) return contexts_.back()->io;
    return contexts_[node % shared_]->io;
  }
  void Run() {
    for (const auto& context : contexts_) {
      threads_.emplace_back([this, &io = context->io] {
        if (last_alone_ && &io == &contexts_.back()->io) last_alone_();
        io.run();
      });
    }
  }

 private:
  struct Context {
    boost::asio::io_context io{1};  // run by one thread
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard =
        boost::asio::make_work_guard(io);
  };
  const size_t last_, shared_;
  const std::function<void()> last_alone_;
  std::vector<std::unique_ptr<Context>> contexts_;
  std::vector<std::thread> threads_;
};

ClusterLab::ClusterLab(const ClusterOptions& options)
    : options_(options),
      loop_(std::make_unique<Loop>(options)),
      shared_cache_(options.shared_cache ? MakeSharedCache() : nullptr) {}

ClusterLab::~ClusterLab() {
  // Nodes on an embedder's io_context go after it has stopped, and before it goes.
  loop_->Stop();
  subscriptions_.clear();
  nodes_.clear();
}

std::string ClusterLab::NameOf(size_t index) {
  char name[32];
  std::snprintf(name, sizeof(name), "node-%04zu", index);
  return name;
}

size_t ClusterLab::IndexOf(const std::string& name) {
  size_t index = SIZE_MAX;
  return std::sscanf(name.c_str(), "node-%zu", &index) == 1 ? index : SIZE_MAX;
}

absl::Status ClusterLab::Prepare(const std::function<void(size_t)>& progress) {
  const int64_t now = std::time(nullptr);
  SOTTO_ASSIGN_OR_RETURN(const PemPair authority,
                         CreateAuthority(kLabCluster, SigningKeyKind::kP256, now - 3'600));
  for (size_t i = 0; i < options_.nodes; ++i) {
    IssueRequest request;
    request.identity = {kLabCluster, CertificateRole::kNode, NameOf(i)};
    request.not_before_unix_s = now - 300;
    request.not_after_unix_s = now + kDayS;
    SOTTO_ASSIGN_OR_RETURN(const PemPair pair, IssueCertificate(authority, request));
    certificates_.push_back({authority.certificate_pem, pair.certificate_pem, pair.key_pem, ""});
    progress(i + 1);
  }
  SecretBytes bytes(options_.key_bytes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes.mutable_view()[i] = static_cast<uint8_t>(i * 41 + 3);
  }
  SOTTO_ASSIGN_OR_RETURN(key_, ClusterKey::Create(std::move(bytes), kLabCluster, 1));
  return absl::OkStatus();
}

NodeOptions ClusterLab::OptionsOf(size_t index) const {
  NodeOptions options;
  options.cluster = kLabCluster;
  options.name = NameOf(index);
  options.bind = {"127.0.0.1:0"};
  if (index > 0) options.join = {contact_};
  options.tags = {{"role", "web"}};
  options.protocol = ProtocolOptions::Lan();
  options.tls = certificates_[index];
  options.keys = {key_};
  options.io = &loop_->IoOf(index);
  options.shared_cache = shared_cache_;
  if (options_.log) {
    options.log = [log = options_.log, name = options.name](LogRecord record) {
      record.fields.insert(record.fields.begin(), {"node", name});
      log(record);
    };
  }
  return options;
}

absl::Status ClusterLab::Create() {
  for (size_t i = 0; i < options_.nodes; ++i) {
    NodeOptions options = OptionsOf(i);
    if (options_.adjust) SOTTO_RETURN_IF_ERROR(options_.adjust(i, options));
    SOTTO_ASSIGN_OR_RETURN(std::unique_ptr<Node> node, Node::Start(std::move(options)));
    if (i == 0) contact_ = ToString(node->View()->bound.front());
    observers_.push_back(std::make_unique<Observer>(options_.nodes));
    Observer* const observer = observers_.back().get();
    WatchOptions watch;
    watch.queue_max = 4 * options_.nodes + 1'024;  // no death goes uncounted
    subscriptions_.push_back(
        node->Watch([observer](const WatchItem& item) { observer->Hear(item); }, watch));
    nodes_.push_back(std::move(node));
  }
  return absl::OkStatus();
}

void ClusterLab::Go() { loop_->Run(); }

void ClusterLab::Kill(size_t index) {
  subscriptions_[index].reset();
  nodes_[index].reset();
}

}  // namespace sotto::bench
