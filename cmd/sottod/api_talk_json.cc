#include "cmd/sottod/api_talk_json.h"

#include <boost/json.hpp>
#include <utility>

#include "cmd/sottod/reach_findings.h"

namespace sotto {
namespace {

namespace json = boost::json;

json::value NullOrSeconds(const std::optional<Duration>& duration) {
  return duration ? json::value(Seconds(*duration)) : json::value(nullptr);
}

}  // namespace

std::string EventSentJson(const Observer& observer, const EventOrder& order) {
  return Serialize(
      Envelope("sotto.event/1", observer,
               json::object{{"name", Text(order.name)}, {"payload_bytes", order.payload.size()}}));
}

std::string QueryReplyJson(const QueryReplyItem& reply) {
  json::object out{{"from", Text(reply.from)}, {"ack", reply.is_ack}};
  AddPayload(reply.payload, out);
  return Serialize(out);
}

std::string QueryEndJson(const Observer& observer, const QueryOrder& order,
                         const QueryOutcome& outcome) {
  return Serialize(Envelope("sotto.query/1", observer,
                            json::object{{"name", Text(order.name)},
                                         {"expected", outcome.expected},
                                         {"acked", outcome.acked},
                                         {"answered", outcome.answered},
                                         {"silent", Texts(outcome.silent)},
                                         {"timed_out", outcome.timed_out}},
                            outcome.silent.empty()));
}

std::string PingJson(const Observer& observer, std::string_view member,
                     const PingOutcome& outcome) {
  return Serialize(Envelope("sotto.ping/1", observer,
                            json::object{{"member", Text(member)},
                                         {"udp_s", NullOrSeconds(outcome.udp)},
                                         {"tcp_s", NullOrSeconds(outcome.tcp)}},
                            outcome.udp.has_value() && outcome.tcp.has_value()));
}

std::string RttJson(const Observer& observer, std::string_view a, std::string_view b,
                    Duration rtt) {
  return Serialize(Envelope("sotto.rtt/1", observer,
                            json::object{{"a", Text(a)}, {"b", Text(b)}, {"rtt_s", Seconds(rtt)}}));
}

std::string ReachJson(const DaemonSnapshot& s, const ReachReport& report) {
  json::object rows;
  for (const auto& [from, hearing] : report.rows) {
    json::object row;
    for (size_t i = 0; i < report.members.size() && i < hearing.size(); ++i) {
      if (report.members[i] == from) continue;
      row[report.members[i]] = Text(ToString(hearing[i]));
    }
    rows[from] = std::move(row);
  }
  json::array findings;
  for (const ReachFinding& finding : FindReachFaults(report, s.view->members)) {
    findings.push_back(json::object{{"from", Text(finding.from)},
                                    {"to", Text(finding.to)},
                                    {"what", Text(finding.what)},
                                    {"text", Text(finding.text)},
                                    {"fix", Text(finding.fix)}});
  }
  return Serialize(Envelope("sotto.reach/1", {s.node, s.unix_ms},
                            json::object{{"members", Texts(report.members)},
                                         {"rows", std::move(rows)},
                                         {"silent", Texts(report.silent)},
                                         {"differs", Texts(report.differs)},
                                         {"findings", std::move(findings)}},
                            report.silent.empty() && report.differs.empty()));
}

}  // namespace sotto
