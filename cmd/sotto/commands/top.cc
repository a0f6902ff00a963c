// sotto top: the cluster as this node sees it, drawn anew each second.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/commands/event_text.h"
#include "cmd/sotto/commands/member_list.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/table.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/terminal.h"
#include "cmd/sotto/verb.h"
#include "gossip/base/status_macros.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr size_t kNotesMax = 4;
constexpr size_t kEventsMax = 5;

// What one frame is made of.
struct Look {
  json::value status, members, events;
  Clock::time_point at;
};

absl::StatusOr<Look> TakeLook(const ApiClient& client) {
  Look look;
  SOTTO_ASSIGN_OR_RETURN(look.status, client.Get("/v1/status"));
  SOTTO_ASSIGN_OR_RETURN(look.members, client.Get("/v1/members"));
  SOTTO_ASSIGN_OR_RETURN(look.events, client.Get("/v1/events?limit=" + std::to_string(kEventsMax)));
  look.at = Clock::now();
  return look;
}

std::string BytesText(double bytes) {
  if (bytes < 1000) return absl::StrFormat("%.0f B", bytes);
  if (bytes < 1e6) return absl::StrFormat("%.1f kB", bytes / 1e3);
  return absl::StrFormat("%.1f MB", bytes / 1e6);
}

uint64_t DropsOf(const json::value& frames) {
  uint64_t sum = 0;
  for (const auto& [reason, count] : ObjectOf(Member(frames, "dropped"))) sum += CountOf(count);
  return sum;
}

// Since the look before; without one, since the start.
std::string TrafficText(const Look& look, const std::optional<Look>& before) {
  const json::value& now = Member(Member(look.status, "data"), "frames");
  if (!before) {
    return "frames " + HumanCount(CountOf(Member(now, "received"))) + " in, " +
           HumanCount(CountOf(Member(now, "sent"))) + " out, " + HumanCount(DropsOf(now)) +
           " dropped since the start";
  }
  const json::value& then = Member(Member(before->status, "data"), "frames");
  const double seconds =
      std::max(std::chrono::duration<double>(look.at - before->at).count(), 0.001);
  const auto rate = [&](const char* key) {
    const uint64_t a = CountOf(Member(then, key)), b = CountOf(Member(now, key));
    return b < a ? 0.0 : static_cast<double>(b - a) / seconds;
  };
  const uint64_t dropped_then = DropsOf(then), dropped_now = DropsOf(now);
  const uint64_t dropped = dropped_now < dropped_then ? 0 : dropped_now - dropped_then;
  return absl::StrFormat("frames %.0f/s in, %.0f/s out, %d dropped   bytes %s/s in, %s/s out",
                         rate("received"), rate("sent"), dropped, BytesText(rate("bytes_received")),
                         BytesText(rate("bytes_sent")));
}

std::string Upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

std::vector<std::string> HeadLines(const Look& look, const std::optional<Look>& before) {
  const json::value& data = Member(look.status, "data");
  const json::value& members = Member(data, "members");
  const json::value& standing = Member(data, "standing");
  const json::value& views = Member(data, "views");
  const json::value& key = Member(data, "key");
  const std::string time = TextOf(Member(look.status, "as_of"));
  std::string head = TextOf(Member(data, "cluster")) + ", seen from " +
                     TextOf(Member(look.status, "observer")) + " at " +
                     (time.size() > 19 ? time.substr(11, 8) : time) + " UTC";
  head.resize(std::max<size_t>(head.size() + 3, 60), ' ');
  std::vector<std::string> lines = {head + Upper(TextOf(Member(data, "health")))};
  std::string counts;
  for (const char* state : {"alive", "suspect", "dead", "left"}) {
    counts += (counts.empty() ? "" : ", ") + std::to_string(CountOf(Member(members, state))) + " " +
              state;
  }
  lines.push_back(counts + "   views agree " + std::to_string(CountOf(Member(views, "agree"))) +
                  " of " + std::to_string(CountOf(Member(views, "known"))) + "   own health " +
                  std::to_string(CountOf(Member(standing, "health_score"))) + " of 8   queue " +
                  std::to_string(CountOf(Member(standing, "broadcasts_queued"))));
  lines.push_back("key " + TextOf(Member(key, "id")) + " " + TextOf(Member(key, "algorithm")) +
                  " generation " + std::to_string(CountOf(Member(key, "generation"))) + "   up " +
                  HumanDuration(NumberOf(Member(data, "up_s")).value_or(0)));
  lines.push_back(TrafficText(look, before));
  const json::array& notes = ArrayOf(Member(data, "notes"));
  for (size_t i = 0; i < notes.size() && i < kNotesMax; ++i) {
    lines.push_back(TextOf(Member(notes[i], "level")) + " " + TextOf(Member(notes[i], "code")) +
                    ": " + TextOf(Member(notes[i], "text")));
  }
  if (notes.size() > kNotesMax) {
    lines.push_back("… and " + Plural(notes.size() - kNotesMax, "note") + " more: sotto status");
  }
  return lines;
}

std::string SecondsCell(const json::value& value) {
  const auto seconds = NumberOf(value);
  return seconds ? HumanDuration(*seconds) : "";
}

// Those in trouble first: on a screen that is too short they are what must be seen.
std::vector<std::string> MemberLines(const json::value& envelope, int columns, bool color) {
  Table table(
      {{"NODE"}, {"STATE"}, {"SINCE", true}, {"RTT", true}, {"ADDRESS"}, {"TAGS", false, true}});
  std::vector<const json::value*> rows;
  for (const json::value& row : ArrayOf(Member(envelope, "data"))) rows.push_back(&row);
  const auto rank = [](const json::value* row) {
    const std::string state = TextOf(Member(*row, "state"));
    return state == "suspect" ? 0 : state == "dead" ? 1 : state == "alive" ? 2 : 3;
  };
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const json::value* a, const json::value* b) { return rank(a) < rank(b); });
  for (const json::value* row : rows) {
    const std::string state = TextOf(Member(*row, "state"));
    const json::array& addresses = ArrayOf(Member(*row, "addresses"));
    std::string shown = state;
    if (const auto dies = NumberOf(Member(*row, "dies_in_s"))) {
      shown += ", dies in " + HumanDuration(*dies);
    }
    table.Add(
        {{Escape(TextOf(Member(*row, "name"))) + (TrueOf(Member(*row, "self")) ? "*" : ""), ""},
         {shown, state == "suspect" ? "yellow"
                 : state == "dead"  ? "red"
                                    : ""},
         {SecondsCell(Member(*row, "since_s")), ""},
         {SecondsCell(Member(*row, "rtt_s")), ""},
         {addresses.empty() ? "" : Escape(TextOf(addresses[0])), ""},
         {Escape(TagsText(Member(*row, "tags"))), ""}});
  }
  return table.Lines(true, columns, color);
}

// `rows` 0: as many as it takes.
std::vector<std::string> FrameOf(const Look& look, const std::optional<Look>& before, int columns,
                                 int rows, bool color) {
  std::vector<std::string> frame;
  const auto cut = [&](std::string text) {
    text = Escape(text);
    if (columns > 0 && text.size() > static_cast<size_t>(columns)) {
      text.resize(static_cast<size_t>(columns));
    }
    return text;
  };
  for (const std::string& line : HeadLines(look, before)) frame.push_back(cut(line));
  frame.emplace_back();
  std::vector<std::string> events;
  for (const json::value& event : ArrayOf(Member(look.events, "data"))) {
    events.push_back(cut(EventLine(event)));
  }
  const std::vector<std::string> members = MemberLines(look.members, columns, color);
  size_t space = members.size();
  if (rows > 0) {
    const size_t taken = frame.size() + events.size() + 2;
    const size_t all = static_cast<size_t>(rows);
    space = all > taken + 3 ? std::min(space, all - taken) : std::min<size_t>(space, 3);
  }
  frame.insert(frame.end(), members.begin(), members.begin() + static_cast<ptrdiff_t>(space));
  if (space < members.size()) {
    frame.back() = "… and " + std::to_string(members.size() - space + 1) + " more: sotto members";
  }
  frame.emplace_back();
  frame.insert(frame.end(), events.begin(), events.end());
  return frame;
}

int PrintOnce(Context& context, const Look& look) {
  if (context.format() == Format::kJson || context.format() == Format::kJsonl) {
    const json::object both{{"status", look.status}, {"members", look.members}};
    const json::object envelope = LocalEnvelope("sotto.top/1", both);
    context.out() << (context.format() == Format::kJson ? JsonPretty(envelope) : JsonLine(envelope))
                  << '\n';
    return kExitOk;
  }
  for (const std::string& line : FrameOf(look, std::nullopt, 0, 0, context.color_out())) {
    context.out() << line << '\n';
  }
  return kExitOk;
}

int DrawUntilQuit(Context& context, const ApiClient& client, Look first, double interval_s) {
  // A screen of its own, so that what stood there before comes back.
  context.out() << "\x1b[?1049h\x1b[?25l";
  RawTerminal terminal(/*interrupts_are_keys=*/true);
  std::optional<Look> before;
  Look look = std::move(first);
  absl::Status failure;
  while (context.out()) {
    const TerminalSize size = SizeOfTerminal();
    context.out() << "\x1b[H";
    for (const std::string& line :
         FrameOf(look, before, size.columns, size.rows - 1, context.color_out())) {
      context.out() << line << "\x1b[K\r\n";
    }
    context.out() << "\x1b[Jq quits" << std::flush;
    const char key =
        terminal.Key(std::chrono::milliseconds(static_cast<int64_t>(interval_s * 1000)));
    if (key == 'q' || key == 'Q' || key == '\x03') break;
    auto next = TakeLook(client);
    if (!next.ok()) {
      failure = next.status();
      break;
    }
    before = std::move(look);
    look = *std::move(next);
  }
  context.out() << "\x1b[?25h\x1b[?1049l" << std::flush;
  return failure.ok() ? kExitOk : context.Fail(failure);
}

int RunTop(Context& context, double interval_s) {
  const auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  auto look = TakeLook(*client);
  if (!look.ok()) return context.Fail(look.status());
  const bool is_table = context.format() == Format::kTable || context.format() == Format::kWide;
  const bool live =
      is_table && context.streams().out_is_terminal && context.streams().in_is_terminal;
  if (live) return DrawUntilQuit(context, *client, *std::move(look), interval_s);
  const int exit = PrintOnce(context, *look);
  if (is_table) {
    context.Note("note: one look, since this is no terminal; `sotto watch` goes on");
  }
  return exit;
}

}  // namespace

void AddTop(Verb& root) {
  Context& context = root.context();
  const auto interval_s = std::make_shared<double>(1);
  Verb verb = root.Sub("top", "the cluster live: members, health, key, traffic; q quits");
  verb.Seconds("--interval", interval_s.get(), "how often it is drawn (1s)")
      .Example("sotto top", "those in trouble stand first")
      .Example("sotto top | cat", "one look, without a terminal")
      .Run([&context, interval_s] { return RunTop(context, *interval_s); });
}

}  // namespace sotto::cli
