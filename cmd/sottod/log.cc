#include "cmd/sottod/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cmd/sottod/text.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/codes.h"

namespace sotto {
namespace {

namespace json = boost::json;

constexpr std::string_view kCountKey = "count";

const std::string* FindField(const LogRecord& record, std::string_view key) {
  for (const auto& [name, value] : record.fields) {
    if (name == key) return &value;
  }
  return nullptr;
}

// What the record is about, as far as a page could know it; null if it says nothing of the kind.
const std::string* ReasonOf(const LogRecord& record) {
  const std::string* reason = FindField(record, "reason");
  return reason != nullptr ? reason : FindField(record, "code");
}

// How many things the record stands for already.
uint64_t WeightOf(const LogRecord& record) {
  const std::string* text = FindField(record, kCountKey);
  uint64_t weight = 0;
  if (text != nullptr) std::from_chars(text->data(), text->data() + text->size(), weight);
  return std::max<uint64_t>(weight, 1);
}

void SetField(LogRecord& record, std::string_view key, std::string value) {
  for (auto& field : record.fields) {
    if (field.first == key) {
      field.second = std::move(value);
      return;
    }
  }
  record.fields.emplace_back(key, std::move(value));
}

// systemd reads the number before a line as its priority.
std::string_view JournalPrefix(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "<7>";
    case LogLevel::kInfo:
      return "<6>";
    case LogLevel::kWarn:
      return "<4>";
    case LogLevel::kError:
      return "<3>";
  }
  return "<6>";
}

std::string JsonLine(const LogRecord& record, int64_t unix_ms) {
  json::object line;
  line["t"] = UtcMillis(unix_ms);
  line["level"] = json::string_view(ToString(record.level).data(), ToString(record.level).size());
  line["event"] = ValidUtf8(record.event);
  for (const auto& [key, value] : record.fields) {
    if (key == kCountKey) {
      line[key] = WeightOf(record);
    } else {
      line[ValidUtf8(key)] = ValidUtf8(value);
    }
  }
  return json::serialize(line);
}

bool IsJournal() {
  // systemd names the device and inode of the stream it gave; a redirected stderr is another one.
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat info {};
  if (stream == nullptr || fstat(STDERR_FILENO, &info) != 0) return false;
  return absl::StrCat(info.st_dev, ":", info.st_ino) == stream;
}

std::shared_ptr<spdlog::logger> MakeLogger(const std::string& file) {
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file);
  }
  auto logger = std::make_shared<spdlog::logger>("sottod", std::move(sink));
  logger->set_pattern("%v");
  logger->set_level(spdlog::level::trace);
  logger->flush_on(spdlog::level::trace);
  // A full disk must not stop the daemon; the line is lost.
  logger->set_error_handler([](const std::string&) {});
  return logger;
}

absl::StatusOr<std::shared_ptr<spdlog::logger>> TryMakeLogger(const std::string& file) {
  try {
    return MakeLogger(file);
  } catch (const spdlog::spdlog_ex& error) {
    return CodedError(absl::StatusCode::kPermissionDenied, "LOG_UNWRITABLE",
                      absl::StrCat("log.file ", file, ": ", error.what()));
  }
}

}  // namespace

LogShape ChooseShape(LogFormat format, bool to_file) {
  switch (format) {
    case LogFormat::kText:
      return LogShape::kText;
    case LogFormat::kJson:
      return LogShape::kJson;
    case LogFormat::kAuto:
      break;
  }
  if (to_file) return LogShape::kJson;
  if (IsJournal()) return LogShape::kJournal;
  return isatty(STDERR_FILENO) != 0 ? LogShape::kText : LogShape::kJson;
}

std::string FormatLine(const LogRecord& record, LogShape shape, int64_t unix_ms) {
  if (shape == LogShape::kJson) return JsonLine(record, unix_ms);
  const std::string level(ToString(record.level));
  if (shape == LogShape::kJournal) {
    return absl::StrCat(std::string(JournalPrefix(record.level)), level, " ", FormatRecord(record));
  }
  return absl::StrCat(UtcMillis(unix_ms), " ", level, " ", FormatRecord(record));
}

absl::StatusOr<std::unique_ptr<DaemonLog>> DaemonLog::Open(Options options) {
  auto logger = TryMakeLogger(options.file);
  if (!logger.ok()) return logger.status();
  std::unique_ptr<DaemonLog> log(new DaemonLog(std::move(options)));
  log->logger_ = *std::move(logger);
  return log;
}

DaemonLog::DaemonLog(Options options) : options_(std::move(options)), level_(options_.level) {}

DaemonLog::~DaemonLog() { Finish(); }

int64_t DaemonLog::NowMs() const {
  if (options_.unix_ms) return options_.unix_ms();
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void DaemonLog::Write(const LogRecord& record) {
  if (record.level < level()) return;
  const int64_t now_ms = NowMs();
  const std::string* reason = ReasonOf(record);
  std::lock_guard lock(mutex_);
  // The answer to an operator's act is told at once, however often he tries.
  const bool is_answer = record.event.starts_with("reload");
  if (reason == nullptr || is_answer || record.level < LogLevel::kWarn) {
    WriteLine(record, 0);
    return;
  }
  // Not by peer: whoever can come from many addresses would fill the disk.
  const std::string key = absl::StrCat(record.event, " ", *reason);
  auto found = repeats_.find(key);
  if (found == repeats_.end()) {
    if (repeats_.size() >= kRepeatsMax) TellRepeats(now_ms, false);
    if (repeats_.size() >= kRepeatsMax) {
      // Reasons made up by somebody: all of them share one line a minute.
      found = repeats_.try_emplace("", Repeat{}).first;
    } else {
      repeats_.emplace(key, Repeat{now_ms, 0, {}});
      WriteLine(record, FindField(record, kCountKey) != nullptr ? WeightOf(record) : 0);
      return;
    }
  }
  Repeat& repeat = found->second;
  const int64_t age_ms = now_ms - repeat.since_ms;
  // A clock that was set back must not silence the log for longer than a minute.
  if (age_ms >= 0 && age_ms < kRepeatMs) {
    repeat.held_back += WeightOf(record);
    repeat.last = record;
    return;
  }
  const uint64_t count = repeat.held_back + WeightOf(record);
  repeat = {now_ms, 0, {}};
  WriteLine(record, count > 1 ? count : 0);
}

void DaemonLog::WriteLine(LogRecord record, uint64_t count) {
  if (count > 0) SetField(record, kCountKey, absl::StrCat(count));
  const std::string* reason = ReasonOf(record);
  if (record.level >= LogLevel::kWarn && reason != nullptr && !FindField(record, "hint")) {
    const CodeInfo* info = FindCode(*reason);
    if (info != nullptr && !info->fix.empty()) record.fields.emplace_back("hint", info->fix);
  }
  const std::string line = FormatLine(record, options_.shape, NowMs());
  logger_->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

void DaemonLog::TellRepeats(int64_t now_ms, bool all) {
  for (auto it = repeats_.begin(); it != repeats_.end();) {
    Repeat& repeat = it->second;
    const int64_t age_ms = now_ms - repeat.since_ms;
    if (!all && age_ms >= 0 && age_ms < kRepeatMs) {
      ++it;
      continue;
    }
    if (repeat.held_back == 0) {
      it = repeats_.erase(it);
      continue;
    }
    WriteLine(std::move(repeat.last), repeat.held_back);
    repeat = {now_ms, 0, {}};
    ++it;
  }
}

void DaemonLog::Tick() {
  std::lock_guard lock(mutex_);
  TellRepeats(NowMs(), false);
}

void DaemonLog::Finish() {
  std::lock_guard lock(mutex_);
  TellRepeats(NowMs(), true);
  logger_->flush();
}

absl::Status DaemonLog::Reopen() {
  if (options_.file.empty()) return absl::OkStatus();
  auto logger = TryMakeLogger(options_.file);
  if (!logger.ok()) return logger.status();
  std::lock_guard lock(mutex_);
  logger_ = *std::move(logger);
  return absl::OkStatus();
}

}  // namespace sotto
