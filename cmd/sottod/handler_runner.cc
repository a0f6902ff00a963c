#include "cmd/sottod/handler_runner.h"

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cmd/sottod/handler_process.h"
#include "cmd/sottod/text.h"
#include "gossip/base/coded_error.h"
#include "gossip/endpoint_text.h"
#include "gossip/said.h"

namespace sotto {
namespace {

namespace json = boost::json;

// A batch is given out at once; more waits for the next run.
constexpr size_t kBatchMax = 256;
constexpr std::string_view kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

json::string Text(std::string_view text) { return json::string(ValidUtf8(text)); }

absl::Status Absolute(std::string* path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(*path, error);
  if (error) return absl::InternalError(error.message());
  *path = absolute.string();
  return absl::OkStatus();
}

}  // namespace

// One event for one or several handlers.
struct HandlerRunner::Job {
  std::string event;  // what may be batched with its like: "member_died"; empty: nothing
  std::vector<std::pair<std::string, std::string>> environment;
  std::string input;
  size_t count = 1;
  Clock::time_point deadline = Clock::time_point::max();
  Answer answer;  // null: not a query
};

class HandlerRunner::Worker {
 public:
  Worker(HandlerConfig config, LogSink log)
      : config_(std::move(config)), log_(std::move(log)), thread_([this] { Run(); }) {}

  ~Worker() {
    Stop();
    thread_.join();
  }

  void Stop() {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    stop_.Stop();
    changed_.notify_all();
  }

  const HandlerConfig& config() const { return config_; }

  bool Wants(std::string_view what) const {
    return std::any_of(config_.on.begin(), config_.on.end(),
                       [&](const std::string& trigger) { return TriggerMatches(trigger, what); });
  }

  void Offer(const Job& job) {
    std::unique_lock lock(mutex_);
    if (jobs_.size() < static_cast<size_t>(config_.queue)) {
      jobs_.push_back(job);
      changed_.notify_all();
      return;
    }
    const uint64_t dropped = ++stats_.dropped;
    lock.unlock();
    Warn("HANDLER_QUEUE_FULL",
         absl::StrCat(config_.run.front(), ": ", config_.queue, " events wait already; ", dropped,
                      " dropped in all"),
         "");
  }

  HandlerStats Stats() const {
    std::lock_guard lock(mutex_);
    HandlerStats out = stats_;
    out.on = config_.on;
    out.program = config_.run.front();
    out.waiting = jobs_.size();
    return out;
  }

 private:
  void Run() {
    while (auto job = Next()) {
      if (job->deadline <= Clock::now()) {
        Finish(CodedError(absl::StatusCode::kDeadlineExceeded, "HANDLER_TOO_LATE",
                          absl::StrCat(config_.run.front(),
                                       ": the query's time was over before its turn came")),
               "");
        continue;
      }
      RunOne(*job);
    }
  }

  // Blocks; nothing once the worker stops.
  std::optional<Job> Next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return std::nullopt;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    // Only neighbours of one kind: the order of events stays.
    while (config_.batch && !job.event.empty() && job.count < kBatchMax && !jobs_.empty() &&
           jobs_.front().event == job.event) {
      job.input += jobs_.front().input;
      ++job.count;
      jobs_.pop_front();
    }
    job.environment.emplace_back("SOTTO_COUNT", absl::StrCat(job.count));
    return job;
  }

  void RunOne(const Job& job) {
    ProgramRun run;
    run.argv = config_.run;
    run.environment = job.environment;
    run.input = job.input;
    run.output_bytes_max = job.answer ? kAnswerBytesMax : 0;
    run.timeout = std::chrono::milliseconds(config_.timeout.millis());
    const absl::Status status = Absolute(&run.argv.front());
    // Judged anew before each run: it may have been exchanged since the start.
    if (!status.ok()) return Finish(status, "");
    absl::StatusOr<std::string> program = ResolveProgram(run.argv.front());
    if (!program.ok()) return Finish(program.status(), "");
    run.program = *std::move(program);
    ProgramResult result = RunProgram(run, stop_);
    Finish(result.status, result.error_text);
    if (result.status.ok() && job.answer) job.answer(std::move(result.output));
  }

  void Finish(const absl::Status& status, const std::string& error_text) {
    {
      std::lock_guard lock(mutex_);
      ++stats_.runs;
      stats_.failed += status.ok() ? 0 : 1;
      stats_.last_error = status.ok() ? "" : Describe(status);
      if (stopping_) return;
    }
    if (!status.ok()) Warn(ErrorCode(status), std::string(status.message()), error_text);
  }

  void Warn(const std::string& code, const std::string& message, const std::string& error_text) {
    if (!log_) return;
    LogRecord record{LogLevel::kWarn,
                     "handler_failed",
                     {{"code", code.empty() ? "INTERNAL" : code}, {"message", message}}};
    if (!error_text.empty()) record.fields.emplace_back("stderr", ValidUtf8(error_text));
    log_(record);
  }

  const HandlerConfig config_;
  const LogSink log_;
  StopSignal stop_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  HandlerStats stats_;
  bool stopping_ = false;
  std::thread thread_;
};

HandlerRunner::HandlerRunner(std::vector<HandlerConfig> handlers, HandlerIdentity identity,
                             std::vector<Tag> tags, LogSink log)
    : identity_(std::move(identity)), log_(std::move(log)), tags_(std::move(tags)) {
  Replace(std::move(handlers));
}

HandlerRunner::~HandlerRunner() { Replace({}); }

void HandlerRunner::Replace(std::vector<HandlerConfig> handlers) {
  std::vector<std::shared_ptr<Worker>> gone;
  {
    std::lock_guard lock(mutex_);
    gone = std::move(workers_);
    workers_.clear();
    for (HandlerConfig& handler : handlers) {
      const auto same = std::find_if(gone.begin(), gone.end(), [&](const auto& worker) {
        return worker != nullptr && worker->config() == handler;
      });
      if (same != gone.end()) {
        workers_.push_back(std::exchange(*same, nullptr));
      } else {
        workers_.push_back(std::make_shared<Worker>(std::move(handler), log_));
      }
    }
  }
  // All at once, then waited for one by one.
  for (const auto& worker : gone) {
    if (worker != nullptr) worker->Stop();
  }
}

void HandlerRunner::SetTags(std::vector<Tag> tags) {
  std::lock_guard lock(mutex_);
  tags_ = std::move(tags);
}

std::vector<HandlerStats> HandlerRunner::Stats() const {
  std::lock_guard lock(mutex_);
  std::vector<HandlerStats> out;
  for (const auto& worker : workers_) out.push_back(worker->Stats());
  return out;
}

bool HandlerRunner::Offer(std::string_view what, const Job& job) {
  std::lock_guard lock(mutex_);
  bool offered = false;
  for (const auto& worker : workers_) {
    if (!worker->Wants(what)) continue;
    worker->Offer(job);
    offered = true;
  }
  return offered;
}

std::vector<std::pair<std::string, std::string>> HandlerRunner::BaseEnvironment(
    std::string_view event) const {
  std::vector<std::pair<std::string, std::string>> out = {
      {"PATH", std::string(kPath)},
      {"LANG", "C.UTF-8"},
      {"SOTTO_EVENT", std::string(event)},
      {"SOTTO_CLUSTER", identity_.cluster},
      {"SOTTO_NODE", identity_.node},
      {"SOTTO_TARGET", absl::StrCat("unix:", identity_.admin_socket)}};
  std::lock_guard lock(mutex_);
  for (const Tag& tag : tags_) out.emplace_back(TagVariable(tag.key), tag.value);
  return out;
}

void HandlerRunner::OnEvent(std::string_view what, const Event& event, const MemberInfo* member) {
  Job job;
  job.event = std::string(what);
  job.environment = BaseEnvironment(what);
  job.environment.emplace_back("SOTTO_MEMBER", event.member);
  job.input = MemberLine(what, event, member);
  Offer(what, job);
}

void HandlerRunner::OnUserEvent(const HandlerMessage& message) {
  Job job;
  job.environment = BaseEnvironment("user_event");
  job.environment.emplace_back("SOTTO_USER_EVENT", message.name);
  job.environment.emplace_back("SOTTO_FROM", message.from);
  job.environment.emplace_back("SOTTO_LAMPORT", absl::StrCat(message.lamport));
  job.environment.emplace_back("SOTTO_REPLAYED", message.replayed ? "1" : "0");
  job.input = message.payload;
  Offer(absl::StrCat("user_event:", message.name), job);
}

bool HandlerRunner::OnQuery(const HandlerMessage& message, Clock::time_point deadline,
                            Answer answer) {
  Job job;
  job.environment = BaseEnvironment("query");
  job.environment.emplace_back("SOTTO_QUERY_NAME", message.name);
  job.environment.emplace_back("SOTTO_FROM", message.from);
  job.input = message.payload;
  job.deadline = deadline;
  // Several handlers may run on it; who asked hears one of them.
  const auto answered = std::make_shared<std::atomic<bool>>(false);
  job.answer = [answered, answer = std::move(answer)](std::string payload) {
    if (!answered->exchange(true)) answer(std::move(payload));
  };
  return Offer(absl::StrCat("query:", message.name), job);
}

std::string MemberLine(std::string_view what, const Event& event, const MemberInfo* member) {
  json::object line;
  line["event"] = Text(what);
  line["member"] = Text(event.member);
  json::array by;
  for (const std::string& name : event.by) by.push_back(Text(name));
  line["by"] = std::move(by);
  line["incarnation"] = json::object{{"boot_number", event.incarnation.boot_number()},
                                     {"counter", event.incarnation.counter()}};
  line["detail"] = Text(event.detail);
  json::array addresses;
  json::object tags;
  if (member != nullptr) {
    for (const Endpoint& address : member->claims->addresses) {
      addresses.push_back(Text(ToString(address)));
    }
    for (const Tag& tag : member->claims->tags) tags[ValidUtf8(tag.key)] = Text(tag.value);
  }
  line["state"] = member == nullptr ? json::value(nullptr) : Text(ToString(member->state));
  line["addresses"] = std::move(addresses);
  line["tags"] = std::move(tags);
  return json::serialize(line) + "\n";
}

std::string TagVariable(std::string_view key) {
  std::string out = "SOTTO_TAG_";
  for (const char c : key) {
    out += absl::ascii_isalnum(static_cast<unsigned char>(c))
               ? absl::ascii_toupper(static_cast<unsigned char>(c))
               : '_';
  }
  return out;
}

}  // namespace sotto
