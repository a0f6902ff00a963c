// sotto events: what has changed, and with --follow what changes now.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/commands/event_text.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"
#include "gossip/base/status_macros.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

constexpr int64_t kPageEvents = 1000;
constexpr int64_t kRingEvents = 10'000;

struct Flags {
  std::string since;
  bool follow = false;
  int64_t last = 50;
};

// --since as a sequence number (all digits) or as an age.
struct Since {
  std::optional<uint64_t> seq;
  std::optional<double> age_s;
};

std::optional<Since> ParseSince(const std::string& text) {
  Since since;
  if (text.empty()) return since;
  uint64_t seq = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seq);
  if (error == std::errc() && end == text.data() + text.size()) {
    since.seq = seq;
    return since;
  }
  since.age_s = ParseDuration(text);
  if (!since.age_s.has_value()) return std::nullopt;
  return since;
}

void KeepYounger(double age_s, json::value* envelope) {
  const auto now = ParseUtc(TextOf(Member(*envelope, "as_of")));
  if (!now.has_value()) return;
  json::array kept;
  for (const json::value& event : ArrayOf(Member(*envelope, "data"))) {
    const auto at = ParseUtc(TextOf(Member(event, "t")));
    if (at.has_value() && static_cast<double>(*now - *at) <= age_s * 1000) kept.push_back(event);
  }
  envelope->get_object()["data"] = std::move(kept);
}

// All events from `seq` on, page by page.
absl::StatusOr<json::value> FetchFrom(const ApiClient& client, uint64_t seq) {
  json::value whole;
  for (int64_t fetched = 0; fetched <= 2 * kRingEvents; fetched += kPageEvents) {
    SOTTO_ASSIGN_OR_RETURN(json::value page, client.Get("/v1/events?since=" + std::to_string(seq) +
                                                        "&limit=" + std::to_string(kPageEvents)));
    const json::array& events = ArrayOf(Member(page, "data"));
    const uint64_t next = CountOf(Member(page, "next"));
    const bool last = static_cast<int64_t>(events.size()) < kPageEvents || next <= seq;
    if (whole.is_null()) {
      whole = std::move(page);
    } else {
      // What the first page said of a gap stays true of the whole.
      json::object& object = whole.get_object();
      json::array& all = object["data"].get_array();
      all.insert(all.end(), events.begin(), events.end());
      object["next"] = next;
    }
    if (last) break;
    seq = next;
  }
  return whole;
}

absl::StatusOr<json::value> Fetch(const ApiClient& client, const Flags& flags, const Since& since) {
  if (since.seq.has_value()) return FetchFrom(client, *since.seq);
  const int64_t limit = since.age_s.has_value() ? kRingEvents : std::max<int64_t>(flags.last, 1);
  SOTTO_ASSIGN_OR_RETURN(json::value envelope,
                         client.Get("/v1/events?limit=" + std::to_string(limit)));
  if (since.age_s.has_value()) KeepYounger(*since.age_s, &envelope);
  // None of the past: one is asked for, as `next` comes with it.
  if (!since.age_s.has_value() && flags.last == 0) envelope.as_object()["data"] = json::array();
  return envelope;
}

ListView EventsView() {
  const auto plain = [](const char* name, const char* key) {
    return Field{.name = name,
                 .text = [key](const json::value& row) { return PlainOf(Member(row, key)); }};
  };
  ListView view;
  view.fields.push_back(plain("SEQ", "seq"));
  view.fields.back().right = true;
  view.fields.push_back(plain("TIME", "t"));
  view.fields.push_back(plain("EVENT", "event"));
  view.fields.push_back(plain("MEMBER", "member"));
  view.fields.push_back({.name = "BY", .text = [](const json::value& row) {
                           std::string by;
                           for (const json::value& name : ArrayOf(Member(row, "by"))) {
                             by += (by.empty() ? "" : ",") + TextOf(name);
                           }
                           return by;
                         }});
  // What was said stands where other events have their few words.
  view.fields.push_back({.name = "DETAIL",
                         .text =
                             [](const json::value& row) {
                               const std::string name = TextOf(Member(row, "name"));
                               return name.empty() ? PlainOf(Member(row, "detail"))
                                                   : name + ShownPayload(row);
                             },
                         .cut = true});
  view.empty = "nothing has changed";
  return view;
}

void PrintFollowed(Context& context, const json::value& event) {
  switch (context.format()) {
    case Format::kJson:
    case Format::kJsonl:
      context.out() << JsonLine(event) << '\n';
      break;
    case Format::kTsv: {
      bool first = true;
      for (const Field& field : EventsView().fields) {
        context.out() << (first ? "" : "\t") << EscapeTsv(field.text(event));
        first = false;
      }
      context.out() << '\n';
      break;
    }
    case Format::kTable:
    case Format::kWide:
      context.out() << EventLine(event) << '\n';
      break;
  }
}

int Follow(Context& context, const ApiClient& client, const Flags& flags, const Since& since) {
  const auto past = Fetch(client, flags, since);
  if (!past.ok()) return context.Fail(past.status());
  for (const json::value& event : ArrayOf(Member(*past, "data"))) PrintFollowed(context, event);
  context.out().flush();
  ApiClient::StreamHandler handler;
  handler.on_event = [&](const StreamEvent& event) {
    if (event.event == "resync") context.Note("note: too slow; some events were not delivered");
    if (event.event != "event") return true;
    boost::system::error_code error;
    const json::value value = json::parse(event.data, error);
    if (!error) PrintFollowed(context, value);
    context.out().flush();
    return static_cast<bool>(context.out());
  };
  // From the number after the last one shown, so that nothing falls between the two calls.
  const std::string next = std::to_string(CountOf(Member(*past, "next")));
  const absl::Status status = client.Stream("/v1/stream?since=" + next, handler);
  return status.ok() ? kExitOk : context.Fail(status);
}

int RunEvents(Context& context, const Flags& flags) {
  const auto since = ParseSince(flags.since);
  if (!since.has_value()) {
    Complaint complaint{
        kExitUsage,
        "USAGE",
        "--since wants an age such as 10m, or a sequence number, got \"" + flags.since + "\"",
        {}};
    return context.Fail(complaint.Add("do", "sotto events --since 10m"));
  }
  const auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  if (flags.follow) return Follow(context, *client, flags, *since);
  const auto envelope = Fetch(*client, flags, *since);
  if (!envelope.ok()) return context.Fail(envelope.status());
  ListView view = EventsView();
  if (flags.last == 0 && flags.since.empty()) view.empty.clear();
  return PrintList(context, *envelope, view);
}

}  // namespace

void AddEvents(Verb& root) {
  Context& context = root.context();
  const auto flags = std::make_shared<Flags>();
  Verb verb = root.Sub("events", "what has changed in the cluster, past and live");
  verb.Text("--since", &flags->since, "AGE|SEQ", "from this age (10m) or this number on")
      .Switch("-f,--follow", &flags->follow, "go on with what happens now")
      .Number("-n,--last", &flags->last, 0, kRingEvents, "N",
              "the newest N where --since is not given (50)")
      .Example("sotto events --since 10m", "the last ten minutes")
      .Example("sotto events -f -o jsonl", "for programs: one JSON object a line, for ever")
      .Example("sotto explain events", "what each word means")
      .Run([&context, flags] { return RunEvents(context, *flags); });
}

}  // namespace sotto::cli
