// sotto query: asks members, and prints what they answer as it comes.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/commands/event_text.h"
#include "cmd/sotto/commands/payload.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"
#include "gossip/base/coded_error.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

struct Flags {
  std::string name;
  std::string payload;
  std::string file;
  std::vector<std::string> nodes;
  std::vector<std::string> tags;
  int64_t relays = 0;
  bool no_ack = false;
};

// The tags of --tag, or what is wrong with one.
absl::StatusOr<json::object> TagsOf(const std::vector<std::string>& words) {
  json::object tags;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return CodedError(absl::StatusCode::kInvalidArgument, "USAGE",
                        "--tag wants KEY=GLOB, got \"" + word + "\"");
    }
    tags[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return tags;
}

std::string Names(const json::value& list) {
  std::vector<std::string> names;
  for (const json::value& name : ArrayOf(list)) names.push_back(TextOf(name));
  return JoinWords(names);
}

class Asking {
 public:
  explicit Asking(Context& context) : context_(context) {}

  bool OnPiece(const StreamEvent& event) {
    boost::system::error_code error;
    json::value value = json::parse(event.data, error);
    if (error) return true;
    if (event.event == "summary") {
      summary_ = std::move(value);
      return false;
    }
    if (event.event == "reply") Print(value);
    return static_cast<bool>(context_.out());
  }

  // The end: the summary, and the exit code.
  int Finish(const std::string& name) {
    const json::value& data = Member(summary_, "data");
    const uint64_t expected = CountOf(Member(data, "expected"));
    const uint64_t answered = CountOf(Member(data, "answered"));
    PrintSummary(data, expected, answered);
    if (answered > 0 && !said_something_) {
      context_.Note("nobody had anything to say: a name that no handler knows is answered so too");
    }
    if (answered == expected && expected > 0) return kExitOk;
    if (answered > 0) return kExitPartial;
    Complaint complaint{
        kExitDeadline,
        "QUERY_UNANSWERED",
        expected == 0 ? "no member matches the filter of \"" + name + "\""
                      : "none of " + Plural(expected, "member") + " has answered \"" + name + "\"",
        {}};
    if (CountOf(Member(data, "acked")) > 0) {
      complaint.Add("state", std::to_string(CountOf(Member(data, "acked"))) +
                                 " of them have heard it, and have nothing that answers");
    }
    return context_.Fail(complaint.Add("do", "sotto members, and sotto reach"));
  }

  bool ended() const { return !summary_.is_null(); }

 private:
  void Print(const json::value& reply) {
    const std::string from = TextOf(Member(reply, "from"));
    const bool ack = TrueOf(Member(reply, "ack"));
    (ack ? acked_ : answered_).insert(from);
    said_something_ |= !ack && !ShownPayload(reply).empty();
    switch (context_.format()) {
      case Format::kJson:
        replies_.push_back(reply);
        break;
      case Format::kJsonl:
        context_.out() << JsonLine(reply) << '\n';
        break;
      case Format::kTsv:
        context_.out() << EscapeTsv(from) << '\t' << (ack ? "ack" : "answer") << '\t'
                       << EscapeTsv(TextOf(Member(reply, "payload"))) << '\n';
        break;
      case Format::kTable:
      case Format::kWide: {
        std::string text = ShownPayload(reply);
        if (text.empty()) text = " nothing to say";
        if (!ack) context_.out() << Escape(from + text) << '\n';
        if (ack && context_.format() == Format::kWide) {
          context_.out() << Escape(from) << " has it\n";
        }
        break;
      }
    }
    context_.out().flush();
  }

  void PrintSummary(const json::value& data, uint64_t expected, uint64_t answered) {
    if (context_.format() == Format::kJson) {
      json::value whole = summary_;
      whole.as_object()["data"].as_object()["replies"] = replies_;
      context_.out() << JsonPretty(whole) << '\n';
    } else if (context_.format() == Format::kJsonl) {
      context_.out() << JsonLine(summary_) << '\n';
    } else if (context_.format() != Format::kTsv && expected > 0) {
      std::string text = std::to_string(answered) + " of " + Plural(expected, "member") +
                         " answered, " + std::to_string(CountOf(Member(data, "acked"))) +
                         " heard it";
      std::vector<std::string> heard_only;
      for (const std::string& name : acked_) {
        if (!answered_.contains(name)) heard_only.push_back(name);
      }
      if (!heard_only.empty()) text += "; heard it and did not answer: " + JoinWords(heard_only);
      const std::string silent = Names(Member(data, "silent"));
      if (!silent.empty()) text += "; silent: " + silent;
      context_.Note(text);
    }
  }

  Context& context_;
  json::array replies_;
  std::set<std::string> acked_, answered_;
  bool said_something_ = false;
  json::value summary_;
};

int RunQuery(Context& context, const Flags& flags) {
  const auto payload = ReadPayload(context, flags.payload, flags.file);
  if (!payload.ok()) return context.Fail(payload.status());
  const auto tags = TagsOf(flags.tags);
  if (!tags.ok()) return context.Fail(tags.status());
  const auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  json::array names;
  for (const std::string& glob : flags.nodes) names.emplace_back(glob);
  json::object body{{"name", flags.name},
                    {"names", std::move(names)},
                    {"tags", *tags},
                    {"acks", !flags.no_ack},
                    {"relays", flags.relays}};
  if (context.flags().timeout_s > 0) body["timeout_s"] = context.flags().timeout_s;
  AddPayloadTo(*payload, &body);
  Asking asking(context);
  ApiClient::StreamHandler handler;
  handler.on_event = [&asking](const StreamEvent& event) { return asking.OnPiece(event); };
  const absl::Status status = client->PostStream("/v1/query", body, handler);
  if (!status.ok()) return context.Fail(status);
  return asking.ended() ? asking.Finish(flags.name) : kExitFailed;
}

}  // namespace

void AddQuery(Verb& root) {
  Context& context = root.context();
  const auto flags = std::make_shared<Flags>();
  Verb verb = root.Sub("query", "ask members, and print what they answer");
  verb.Word("NAME", &flags->name, true, "what is asked; the handlers on \"query:NAME\" answer")
      .Word("PAYLOAD", &flags->payload, false, "up to about 1 KiB; - for standard input")
      .Text("--file", &flags->file, "FILE", "the payload is this file's content")
      .ListOfWords("--node", &flags->nodes, "GLOB", "only members of such a name; may be repeated")
      .ListOfWords("--tag", &flags->tags, "KEY=GLOB", "only members with such a tag; all must fit")
      .Number("--relay", &flags->relays, 0, 5, "K", "answers also come through K others")
      .Switch("--no-ack", &flags->no_ack, "do not ask who has heard it: less traffic")
      .Example("sotto query load", "everybody's answer; exit 0 all, 3 some, 6 nobody")
      .Example("sotto query load --node 'gw-*' --tag zone=fra1-*", "only some are asked")
      .Example("sotto query version -o jsonl --timeout 2s", "an answer a line, then the summary")
      .Run([&context, flags] { return RunQuery(context, *flags); });
}

}  // namespace sotto::cli
