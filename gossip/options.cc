#include "gossip/options.h"

namespace sotto {
namespace {

// One rule: the field it is about, whether it holds, and what would be right.
struct Rule {
  const char* field;
  bool holds;
  const char* message;
};

template <size_t N>
std::optional<OptionError> FirstBroken(const Rule (&rules)[N]) {
  for (const Rule& rule : rules) {
    if (!rule.holds) return OptionError{rule.field, rule.message};
  }
  return std::nullopt;
}

bool Within(int64_t value, int64_t low, int64_t high) { return value >= low && value <= high; }

std::optional<OptionError> ValidateDetection(const ProtocolOptions& o) {
  const Duration ms = Duration::Millis(1);
  const Rule rules[] = {
      {"probe_interval", o.probe_interval >= ms && o.probe_interval <= Duration::Minutes(10),
       "must be from 1 ms to 10 minutes"},
      {"probe_timeout", o.probe_timeout >= ms && o.probe_timeout < o.probe_interval,
       "must be at least 1 ms and shorter than probe_interval, so that others can be asked in "
       "time"},
      {"indirect_probes", Within(o.indirect_probes, 0, 16), "must be from 0 to 16"},
      {"nack_percent", Within(o.nack_percent, 1, 99), "must be from 1 to 99"},
      {"suspicion_alpha", Within(o.suspicion_alpha, 1, 100), "must be from 1 to 100"},
      {"suspicion_beta", Within(o.suspicion_beta, 1, 100), "must be from 1 to 100"},
      {"suspicion_confirmations", Within(o.suspicion_confirmations, 0, 16), "must be from 0 to 16"},
      {"health_score_max", Within(o.health_score_max, 0, 64), "must be from 0 to 64"},
  };
  return FirstBroken(rules);
}

std::optional<OptionError> ValidateDissemination(const ProtocolOptions& o) {
  const Duration ms = Duration::Millis(1);
  const Rule rules[] = {
      {"gossip_interval", o.gossip_interval >= ms && o.gossip_interval <= Duration::Minutes(1),
       "must be from 1 ms to 1 minute"},
      {"gossip_fanout", Within(o.gossip_fanout, 1, 64), "must be from 1 to 64"},
      {"retransmit_mult", Within(o.retransmit_mult, 1, 64), "must be from 1 to 64"},
      {"gossip_bytes_per_s", Within(o.gossip_bytes_per_s, 1'024, 10'000'000'000),
       "must be from 1024 to 10^10 bytes a second"},
      {"gossip_to_dead", o.gossip_to_dead >= Duration(), "must not be negative"},
      {"packet_bytes_max", Within(static_cast<int64_t>(o.packet_bytes_max), 1'024, 65'000),
       "must be from 1024 to 65000 bytes, so that the largest statement fits"},
      {"sync_interval", o.sync_interval >= ms, "must be at least 1 ms"},
      {"sync_settle", o.sync_settle >= Duration(), "must not be negative"},
      {"sync_settle_max", o.sync_settle_max >= o.sync_settle, "must not be below sync_settle"},
      {"join_settle", o.join_settle >= ms, "must be at least 1 ms"},
      {"join_settle_max", o.join_settle_max >= o.join_settle, "must not be below join_settle"},
      {"retry_min", o.retry_min >= ms, "must be at least 1 ms"},
      {"retry_max", o.retry_max >= o.retry_min, "must not be below retry_min"},
  };
  return FirstBroken(rules);
}

std::optional<OptionError> ValidateEvents(const ProtocolOptions& o) {
  const Rule rules[] = {
      {"event_burst", Within(o.event_burst, 1, 1'000), "must be from 1 to 1000"},
      {"events_per_s", Within(o.events_per_s, 1, 1'000), "must be from 1 to 1000"},
      {"event_coalesce",
       o.event_coalesce >= Duration() && o.event_coalesce <= Duration::Minutes(10),
       "must be from 0 to 10 minutes"},
  };
  return FirstBroken(rules);
}

std::optional<OptionError> ValidateMemory(const ProtocolOptions& o) {
  const Rule rules[] = {
      {"show_dead", o.show_dead >= Duration(), "must not be negative"},
      {"show_left", o.show_left >= Duration(), "must not be negative"},
      {"keep_dead", o.keep_dead >= o.show_dead, "must not be below show_dead"},
      {"keep_left", o.keep_left >= o.show_left, "must not be below show_left"},
      {"accusers_max", Within(o.accusers_max, 1, 64) && o.accusers_max > o.suspicion_confirmations,
       "must be above suspicion_confirmations, and at most 64"},
      {"members_max", o.members_max >= 2, "must be at least 2"},
      {"accusation_burst", o.accusation_burst >= 1, "must be at least 1"},
      {"accusations_per_s", Within(o.accusations_per_s, 1, 1'000'000), "must be at least 1"},
  };
  return FirstBroken(rules);
}

}  // namespace

ProtocolOptions ProtocolOptions::Lan() { return ProtocolOptions(); }

ProtocolOptions ProtocolOptions::Local() {
  ProtocolOptions options;
  options.probe_interval = Duration::Millis(500);
  options.probe_timeout = Duration::Millis(200);
  options.gossip_interval = Duration::Millis(100);
  return options;
}

ProtocolOptions ProtocolOptions::Wan() {
  ProtocolOptions options;
  options.probe_interval = Duration::Seconds(5);
  options.probe_timeout = Duration::Seconds(3);
  options.gossip_interval = Duration::Millis(500);
  options.gossip_fanout = 4;
  options.suspicion_alpha = 6;
  return options;
}

std::optional<OptionError> ProtocolOptions::Validate() const {
  if (auto error = ValidateDetection(*this)) return error;
  if (auto error = ValidateDissemination(*this)) return error;
  if (auto error = ValidateEvents(*this)) return error;
  return ValidateMemory(*this);
}

}  // namespace sotto
