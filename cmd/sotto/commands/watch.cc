// sotto watch: what changes, as it changes: a line each, after one about how things stand.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/commands/event_text.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

struct Flags {
  std::vector<std::string> only;
  int64_t count = 0;
};

class Watching {
 public:
  Watching(Context& context, const Flags& flags) : context_(context), flags_(flags) {
    json_ = context.format() == Format::kJson || context.format() == Format::kJsonl;
  }

  bool OnEvent(const StreamEvent& event) {
    boost::system::error_code error;
    const json::value value = json::parse(event.data, error);
    if (error) return true;
    if (event.event == "snapshot") {
      PrintSnapshot(value);
    } else if (event.event == "resync") {
      context_.Note("note: too slow; some changes were not delivered, here is how things stand");
    } else if (event.event == "event" && Wanted(TextOf(Member(value, "event")))) {
      PrintChange(value);
      if (flags_.count > 0 && ++seen_ >= flags_.count) return false;
    }
    context_.out().flush();
    return static_cast<bool>(context_.out());
  }

 private:
  bool Wanted(const std::string& word) const {
    return flags_.only.empty() ||
           std::find(flags_.only.begin(), flags_.only.end(), word) != flags_.only.end();
  }

  void PrintSnapshot(const json::value& envelope) {
    if (json_) {
      context_.out() << JsonLine(envelope) << '\n';
      return;
    }
    if (context_.format() == Format::kTsv) return;
    size_t alive = 0;
    std::string others;
    for (const json::value& member : ArrayOf(Member(envelope, "data"))) {
      const std::string state = TextOf(Member(member, "state"));
      alive += state == "alive" ? 1 : 0;
      if (state != "alive") others += ", " + TextOf(Member(member, "name")) + " " + state;
    }
    context_.out() << Escape(TextOf(Member(envelope, "observer")) + " sees " +
                             Plural(alive, "member") + " alive" + others + "; what changes:")
                   << '\n';
  }

  void PrintChange(const json::value& event) {
    if (json_) {
      context_.out() << JsonLine(event) << '\n';
    } else if (context_.format() == Format::kTsv) {
      bool first = true;
      for (const char* key : {"seq", "t", "event", "member", "name", "payload"}) {
        context_.out() << (first ? "" : "\t") << EscapeTsv(PlainOf(Member(event, key)));
        first = false;
      }
      context_.out() << '\n';
    } else {
      context_.out() << EventLine(event) << '\n';
    }
  }

  Context& context_;
  const Flags& flags_;
  bool json_ = false;
  int64_t seen_ = 0;
};

int RunWatch(Context& context, Flags flags) {
  std::vector<std::string> known;
  for (const EventWord& word : EventWords()) known.emplace_back(word.word);
  std::vector<std::string> words;
  for (const std::string& text : flags.only) {
    for (size_t at = 0; at <= text.size();) {
      const size_t end = std::min(text.find(',', at), text.size());
      words.push_back(text.substr(at, end - at));
      at = end + 1;
    }
  }
  for (const std::string& word : words) {
    if (std::find(known.begin(), known.end(), word) != known.end()) continue;
    const std::string near = Nearest(word, known);
    Complaint complaint{kExitUsage,
                        "USAGE",
                        "there is no event \"" + word + "\"" +
                            (near.empty() ? "" : "; did you mean \"" + near + "\"?"),
                        {}};
    return context.Fail(complaint.Add("do", "sotto explain events"));
  }
  flags.only = std::move(words);
  const auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  Watching watching(context, flags);
  ApiClient::StreamHandler handler;
  handler.on_event = [&watching](const StreamEvent& event) { return watching.OnEvent(event); };
  const absl::Status status = client->Stream("/v1/stream", handler);
  return status.ok() ? kExitOk : context.Fail(status);
}

}  // namespace

void AddWatch(Verb& root) {
  Context& context = root.context();
  const auto flags = std::make_shared<Flags>();
  Verb verb = root.Sub("watch", "live changes, user events and queries, a line each");
  verb.ListOfWords("--only", &flags->only, "WORD", "these events only: died,user_event")
      .Number("-c,--count", &flags->count, 0, 1'000'000'000, "N", "end after N of them")
      .Example("sotto watch", "until Ctrl-C")
      .Example("sotto watch -o jsonl", "for programs: the members first, then an object a line")
      .Example("sotto watch --only died -c 1", "wait until somebody dies")
      .Run([&context, flags] { return RunWatch(context, *flags); });
}

}  // namespace sotto::cli
