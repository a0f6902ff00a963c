// sotto ping: round trips to one member, measured now; sotto rtt: estimates without a probe.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <memory>
#include <numeric>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/commands/member_list.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

struct PingFlags {
  std::string name;
  int64_t count = 1;
  double interval_s = 1;
};

struct RttFlags {
  std::string a, b;
};

// The answers over one transport.
struct Trips {
  std::vector<double> seconds;
  void Add(const json::value& value) {
    if (const auto number = NumberOf(value)) seconds.push_back(*number);
  }
  double Min() const { return *std::min_element(seconds.begin(), seconds.end()); }
  double Max() const { return *std::max_element(seconds.begin(), seconds.end()); }
  double Mean() const {
    const double sum = std::accumulate(seconds.begin(), seconds.end(), 0.0);
    // What rounding adds must not lead out of the range.
    return std::clamp(sum / static_cast<double>(seconds.size()), Min(), Max());
  }
  std::string Text(int64_t asked) const {
    if (seconds.empty()) return "no answer";
    return std::to_string(seconds.size()) + " of " + std::to_string(asked) + ", " +
           HumanDuration(Min()) + " to " + HumanDuration(Max()) + ", mean " + HumanDuration(Mean());
  }
  json::object Json() const {
    const bool none = seconds.empty();
    return {{"answered", seconds.size()},
            {"min_s", none ? json::value(nullptr) : json::value(Min())},
            {"mean_s", none ? json::value(nullptr) : json::value(Mean())},
            {"max_s", none ? json::value(nullptr) : json::value(Max())}};
  }
};

// What -o json says of more than one: a single document, complete if each answer was.
class Series {
 public:
  void Add(const json::value& envelope) {
    const json::value& data = Member(envelope, "data");
    pings_.push_back(
        json::object{{"udp_s", Member(data, "udp_s")}, {"tcp_s", Member(data, "tcp_s")}});
    complete_ = complete_ && TrueOf(Member(envelope, "complete"));
    observer_ = Member(envelope, "observer");
    as_of_ = Member(envelope, "as_of");
  }
  bool empty() const { return pings_.empty(); }
  json::value Envelope(const std::string& name, const Trips& udp, const Trips& tcp,
                       int64_t asked) const {
    json::object envelope = LocalEnvelope("sotto.ping_series/1", {{"name", name},
                                                                  {"sent", pings_.size()},
                                                                  {"udp", udp.Json()},
                                                                  {"tcp", tcp.Json()},
                                                                  {"pings", pings_}});
    envelope["observer"] = observer_;
    envelope["as_of"] = as_of_;
    envelope["complete"] = complete_ && pings_.size() == static_cast<size_t>(asked);
    return envelope;
  }

 private:
  json::array pings_;
  json::value observer_, as_of_;
  bool complete_ = true;
};

std::string TripText(const json::value& value) {
  const auto seconds = NumberOf(value);
  return seconds ? HumanDuration(*seconds) : "no answer";
}

int JudgePing(Context& context, const PingFlags& flags, const Trips& udp, const Trips& tcp) {
  const auto all = static_cast<size_t>(flags.count);
  if (udp.seconds.size() == all && tcp.seconds.size() == all) return kExitOk;
  if (!udp.seconds.empty() || !tcp.seconds.empty()) {
    context.Note(udp.seconds.empty()   ? "note: only TCP gets through: is UDP blocked?"
                 : tcp.seconds.empty() ? "note: only UDP gets through: is TCP blocked?"
                                       : "note: some were lost");
    return kExitPartial;
  }
  Complaint complaint{
      kExitDeadline, "PING_UNANSWERED", flags.name + " answers neither by UDP nor by TCP", {}};
  return context.Fail(
      complaint.Add("do", "sotto members show " + flags.name + ", and sotto reach"));
}

void PrintPing(Context& context, const PingFlags& flags, const json::value& envelope) {
  const json::value& data = Member(envelope, "data");
  switch (context.format()) {
    case Format::kJson:
      context.out() << JsonPretty(envelope) << '\n';
      break;
    case Format::kJsonl:
      context.out() << JsonLine(data) << '\n';
      break;
    case Format::kTsv:
      context.out() << EscapeTsv(flags.name) << '\t' << PlainOf(Member(data, "udp_s")) << '\t'
                    << PlainOf(Member(data, "tcp_s")) << '\n';
      break;
    case Format::kTable:
    case Format::kWide:
      context.out() << Escape(flags.name) << "  udp " << TripText(Member(data, "udp_s")) << "  tcp "
                    << TripText(Member(data, "tcp_s")) << '\n';
      break;
  }
  context.out().flush();
}

int RunPing(Context& context, const PingFlags& flags) {
  const absl::Status named = CheckMemberWord(flags.name);
  if (!named.ok()) return context.Fail(named);
  auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  const double timeout_s = std::min(context.TimeoutOr(2), 60.0);
  client->set_timeout_s(timeout_s + 3);
  const std::string path =
      "/v1/ping/" + PathSegment(flags.name) + "?timeout_s=" + std::to_string(timeout_s);
  const bool one_document = context.format() == Format::kJson && flags.count > 1;
  Trips udp, tcp;
  Series series;
  absl::Status failed;
  for (int64_t i = 0; i < flags.count && failed.ok(); ++i) {
    if (i > 0) std::this_thread::sleep_for(std::chrono::duration<double>(flags.interval_s));
    const auto envelope = client->Get(path);
    failed = envelope.status();
    if (!failed.ok()) continue;
    udp.Add(Member(Member(*envelope, "data"), "udp_s"));
    tcp.Add(Member(Member(*envelope, "data"), "tcp_s"));
    if (one_document) {
      series.Add(*envelope);
      continue;
    }
    PrintPing(context, flags, *envelope);
    if (!context.out()) return kExitFailed;
  }
  // What was answered before a failure is told all the same.
  if (one_document && !series.empty()) {
    context.out() << JsonPretty(series.Envelope(flags.name, udp, tcp, flags.count)) << '\n';
    context.out().flush();
    if (!context.out()) return kExitFailed;
  }
  if (!failed.ok()) return context.Fail(failed);
  const bool for_people = context.format() == Format::kTable || context.format() == Format::kWide;
  if (flags.count > 1 && for_people) {
    context.out() << "udp " << udp.Text(flags.count) << "; tcp " << tcp.Text(flags.count) << '\n';
  }
  return JudgePing(context, flags, udp, tcp);
}

int RunRtt(Context& context, const RttFlags& flags) {
  for (const std::string& name : {flags.a, flags.b}) {
    const absl::Status named = name.empty() ? absl::OkStatus() : CheckMemberWord(name);
    if (!named.ok()) return context.Fail(named);
  }
  const auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  std::string path = "/v1/rtt?a=" + PathSegment(flags.a);
  if (!flags.b.empty()) path += "&b=" + PathSegment(flags.b);
  const auto envelope = client->Get(path);
  if (!envelope.ok()) return context.Fail(envelope.status());
  const json::value& data = Member(*envelope, "data");
  return PrintOne(context, *envelope, [&](std::ostream& out) {
    out << Escape(TextOf(Member(data, "a"))) << " to " << Escape(TextOf(Member(data, "b")))
        << ": about " << TripText(Member(data, "rtt_s")) << " there and back, estimated by "
        << Escape(TextOf(Member(*envelope, "observer"))) << '\n';
  });
}

}  // namespace

void AddPing(Verb& root) {
  Context& context = root.context();
  const auto flags = std::make_shared<PingFlags>();
  Verb verb = root.Sub("ping", "round trips to one member, by UDP and by TCP");
  verb.Word("MEMBER", &flags->name, true, "its name")
      .Number("-c,--count", &flags->count, 1, 1'000'000, "N", "how often (1)")
      .Seconds("--interval", &flags->interval_s, "pause between two (1s)")
      .Example("sotto ping gw-2", "exit 0 both answered, 3 one of them, 6 neither")
      .Example("sotto ping gw-2 -c 5", "and what they took in all")
      .Run([&context, flags] { return RunPing(context, *flags); });
}

void AddRtt(Verb& root) {
  Context& context = root.context();
  const auto flags = std::make_shared<RttFlags>();
  Verb verb = root.Sub("rtt", "the round trip between two members, estimated without a probe");
  verb.Word("MEMBER", &flags->a, true, "from this member")
      .Word("OTHER", &flags->b, false, "to this one; default: the node that is asked")
      .Example("sotto rtt gw-2", "between gw-2 and this node")
      .Example("sotto rtt gw-2 gw-3", "between two others")
      .Run([&context, flags] { return RunRtt(context, *flags); });
}

}  // namespace sotto::cli
