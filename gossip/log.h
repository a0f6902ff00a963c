// How the library speaks: structured records into a sink of the embedder's. It prints nothing.
#ifndef SOTTO_GOSSIP_LOG_H_
#define SOTTO_GOSSIP_LOG_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sotto {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

// One record: an event word and its fields, printed as `warn frame_rejected peer=… count=…`. Never
// holds a secret.
struct LogRecord {
  LogLevel level = LogLevel::kInfo;
  std::string event;
  std::vector<std::pair<std::string, std::string>> fields;
};

// Called on the node's strand; must not block for long and must not throw.
using LogSink = std::function<void(const LogRecord&)>;

// "debug", "info", "warn", "error".
std::string_view ToString(LogLevel level);

// The record as one line without its level: `event key=value key="two words"`, control characters
// escaped.
std::string FormatRecord(const LogRecord& record);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_LOG_H_
