// sotto status: one screen about this node. Exit code 1 where its health is critical.
#include <boost/json/value.hpp>
#include <ostream>
#include <string>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

std::string ClockOf(const std::string& utc) {
  return utc.size() > 19 ? utc.substr(11, 8) + " UTC" : utc;
}

std::string HealthText(const json::value& data) {
  std::string health = TextOf(Member(data, "health"));
  for (char& c : health) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  const json::array& notes = ArrayOf(Member(data, "notes"));
  if (notes.empty()) return health;
  // The worst comes first, and is why it is not healthy.
  if (TextOf(Member(notes.front(), "level")) != "note") {
    health += " " + TextOf(Member(notes.front(), "code"));
  }
  return health + ", " + Plural(notes.size(), "note");
}

const char* ColorOf(const std::string& health) {
  return health == "healthy" ? "\x1b[32m" : health == "warning" ? "\x1b[33m" : "\x1b[31m";
}

uint64_t SumOf(const json::value& counters) {
  uint64_t sum = 0;
  for (const auto& [key, value] : ObjectOf(counters)) sum += CountOf(value);
  return sum;
}

// "0 dropped", or "31 dropped (bad_tag 30, decode 1)".
std::string DropsText(const json::value& dropped) {
  std::string reasons;
  for (const auto& [key, value] : ObjectOf(dropped)) {
    if (CountOf(value) == 0) continue;
    reasons +=
        (reasons.empty() ? " (" : ", ") + std::string(key) + " " + HumanCount(CountOf(value));
  }
  return HumanCount(SumOf(dropped)) + " dropped" + (reasons.empty() ? "" : reasons + ")");
}

std::string MembersText(const json::value& data) {
  const json::value& members = Member(data, "members");
  std::string text;
  for (const char* state : {"alive", "suspect", "dead", "left"}) {
    text +=
        (text.empty() ? "" : ", ") + std::to_string(CountOf(Member(members, state))) + " " + state;
  }
  const json::value& views = Member(data, "views");
  text.resize(std::max<size_t>(text.size() + 4, 38), ' ');
  const uint64_t known = CountOf(Member(views, "known"));
  if (known == 0) return text + "no other view is known yet";
  return text + "views agree: " + std::to_string(CountOf(Member(views, "agree"))) + " of " +
         std::to_string(known) + " (digest " + TextOf(Member(views, "set_hash")).substr(0, 4) + ")";
}

std::string KeyText(const json::value& key) {
  const std::string id = TextOf(Member(key, "id"));
  if (id.empty()) return "none";
  std::string text = "fp " + id + "  " + TextOf(Member(key, "algorithm")) + "  generation " +
                     std::to_string(CountOf(Member(key, "generation"))) + "  " +
                     HumanCount(CountOf(Member(key, "frames_sealed"))) + " frames sealed";
  const uint64_t held = CountOf(Member(key, "held"));
  if (held > 1) text += ", " + std::to_string(held) + " keys held";
  return text;
}

std::string StoreText(const json::value& store) {
  std::string text = TextOf(Member(store, "url"));
  if (TrueOf(Member(store, "ok"))) {
    text += "  ok";
    if (const auto ms = NumberOf(Member(store, "read_ms"))) text += ", " + HumanDuration(*ms / 1e3);
  } else {
    text += "  " + TextOf(Member(store, "code")) + ": " + TextOf(Member(store, "message"));
  }
  const auto age = NumberOf(Member(store, "last_read_s_ago"));
  return text + (age ? ", last read " + HumanDuration(*age) + " ago" : ", never read");
}

std::string CertificateText(const json::value& certificate) {
  if (!certificate.is_object()) return "no node certificate";
  const auto valid = NumberOf(Member(certificate, "valid_s"));
  const std::string day = TextOf(Member(certificate, "not_after")).substr(0, 10);
  if (valid && *valid <= 0) return "node certificate EXPIRED on " + day;
  return "node certificate valid " + (valid ? HumanDuration(*valid) : "-") + " (until " + day + ")";
}

// "2, 14 runs, 1 failed, 3 waiting".
std::string HandlersText(const json::array& handlers) {
  uint64_t runs = 0, failed = 0, waiting = 0, dropped = 0;
  for (const json::value& handler : handlers) {
    runs += CountOf(Member(handler, "runs"));
    failed += CountOf(Member(handler, "failed"));
    waiting += CountOf(Member(handler, "waiting"));
    dropped += CountOf(Member(handler, "dropped"));
  }
  std::string text = std::to_string(handlers.size()) + ", " + Plural(runs, "run");
  if (failed > 0) text += ", " + std::to_string(failed) + " failed";
  if (waiting > 0) text += ", " + Plural(waiting, "event") + " waiting";
  if (dropped > 0) text += ", " + std::to_string(dropped) + " dropped";
  return text;
}

void PrintStatus(Context& context, const json::value& envelope, std::ostream& out) {
  const json::value& data = Member(envelope, "data");
  std::string head = TextOf(Member(data, "cluster")) + ", seen from " +
                     TextOf(Member(envelope, "observer")) + " at " +
                     ClockOf(TextOf(Member(envelope, "as_of")));
  head.resize(std::max<size_t>(head.size() + 4, 66), ' ');
  const bool color = context.color_out();
  out << Escape(head) << (color ? ColorOf(TextOf(Member(data, "health"))) : "")
      << Escape(HealthText(data)) << (color ? "\x1b[0m" : "") << '\n';
  const auto line = [&](const char* label, const std::string& text) {
    std::string start = std::string("  ") + label;
    start.resize(12, ' ');
    out << start << Escape(text) << '\n';
  };
  const json::value& frames = Member(data, "frames");
  line("members", MembersText(data));
  line("key", KeyText(Member(data, "key")));
  line("frames", HumanCount(CountOf(Member(frames, "received"))) + " in, " +
                     HumanCount(CountOf(Member(frames, "sent"))) + " out, " +
                     DropsText(Member(frames, "dropped")));
  line("SQL", StoreText(Member(data, "store")));
  line("TLS", CertificateText(Member(data, "certificate")));
  const json::array& handlers = ArrayOf(Member(data, "handlers"));
  if (!handlers.empty()) line("handlers", HandlersText(handlers));
  const uint64_t pid = CountOf(Member(data, "pid"));
  line("sottod", TextOf(Member(data, "version")) + ", pid " + std::to_string(pid) + ", up " +
                     HumanDuration(NumberOf(Member(data, "up_s")).value_or(0)));
  for (const json::value& note : ArrayOf(Member(data, "notes"))) {
    out << Escape(TextOf(Member(note, "level")) + " " + TextOf(Member(note, "code")) + ": " +
                  TextOf(Member(note, "text")))
        << '\n';
  }
  const json::array& refusals = ArrayOf(Member(data, "refusals"));
  if (refusals.empty()) return;
  const json::value& last = refusals.back();
  const std::string code = TextOf(Member(last, "code"));
  out << Escape("refused lately: " + std::to_string(refusals.size()) + ", last " + code + " from " +
                TextOf(Member(last, "peer")) + " at " + ClockOf(TextOf(Member(last, "at"))) +
                "; `sotto explain " + code + "`")
      << '\n';
}

int RunStatus(Context& context) {
  const auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  const auto envelope = client->Get("/v1/status");
  if (!envelope.ok()) return context.Fail(envelope.status());
  const int exit = PrintOne(context, *envelope,
                            [&](std::ostream& out) { PrintStatus(context, *envelope, out); });
  const bool critical = TextOf(Member(Member(*envelope, "data"), "health")) == "critical";
  return exit == kExitOk && critical ? kExitFailed : exit;
}

}  // namespace

void AddStatus(Verb& root) {
  Context& context = root.context();
  Verb verb = root.Sub("status", "this node at a glance; exit 1 if its health is critical");
  verb.Example("sotto status", "members, key, frames, store, certificate, and what is wrong")
      .Example("sotto status -o json", "the same for programs")
      .Run([&context] { return RunStatus(context); });
}

}  // namespace sotto::cli
