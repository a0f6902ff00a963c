// sotto members: who is in the cluster as this node sees it; once, or live.
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <chrono>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/commands/event_text.h"
#include "cmd/sotto/commands/member_list.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

struct Flags {
  bool watch = false;
  bool all = false;
  std::string columns;
  std::vector<std::string> filters;
  std::string name;
};

absl::StatusOr<json::value> FetchMembers(const ApiClient& client, const Flags& flags) {
  SOTTO_ASSIGN_OR_RETURN(json::value envelope,
                         client.Get(flags.all ? "/v1/members?all=1" : "/v1/members"));
  SOTTO_RETURN_IF_ERROR(FilterMembers(flags.filters, &envelope));
  return envelope;
}

// A name that nobody has: the nearest one that somebody has.
absl::Status WithNearest(const ApiClient& client, const std::string& name, absl::Status status) {
  if (ErrorCode(status) != "MEMBER_UNKNOWN") return status;
  const auto envelope = client.Get("/v1/members?all=1");
  if (!envelope.ok()) return status;
  std::vector<std::string> names;
  for (const json::value& row : ArrayOf(Member(*envelope, "data"))) {
    names.push_back(TextOf(Member(row, "name")));
  }
  const std::string near = Nearest(name, names);
  return near.empty() ? status : WithLine(status, "what", "did you mean \"" + near + "\"?");
}

int ShowMember(Context& context, const Flags& flags) {
  const absl::Status named = CheckMemberWord(flags.name);
  if (!named.ok()) return context.Fail(named);
  const auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  const auto envelope = client->Get("/v1/members/" + PathSegment(flags.name));
  if (!envelope.ok()) return context.Fail(WithNearest(*client, flags.name, envelope.status()));
  return PrintOne(context, *envelope,
                  [&](std::ostream& out) { PrintMember(Member(*envelope, "data"), out); });
}

// Live: the table drawn anew on a terminal; elsewhere one line for each change; with JSON the whole
// answer on one line after each change.
class Watch {
 public:
  Watch(Context& context, const ApiClient& client, const Flags& flags)
      : context_(context), client_(client), flags_(flags) {
    const Format format = context.format();
    json_ = format == Format::kJson || format == Format::kJsonl;
    live_ = !json_ && context.streams().out_is_terminal && format != Format::kTsv;
  }

  int Run() {
    ApiClient::StreamHandler handler;
    handler.on_event = [this](const StreamEvent& event) { return OnEvent(event); };
    handler.on_tick = [this] { return OnTick(); };
    const absl::Status status = client_.Stream("/v1/stream", handler);
    if (!failure_.ok()) return context_.Fail(failure_);
    return status.ok() ? exit_ : context_.Fail(status);
  }

 private:
  bool OnEvent(const StreamEvent& event) {
    if (event.event == "snapshot" || event.event == "resync") return Draw();
    if (live_ || json_) {
      // A burst of changes is drawn once, at its end.
      dirty_ = true;
      return Clock::now() - drawn_ < std::chrono::milliseconds(200) || Draw();
    }
    boost::system::error_code error;
    const json::value change = json::parse(event.data, error);
    if (error) return true;
    context_.out() << EventLine(change) << '\n';
    context_.out().flush();
    return static_cast<bool>(context_.out());
  }

  bool OnTick() {
    // Ages grow although nothing changes.
    const bool stale = live_ && Clock::now() - drawn_ > std::chrono::seconds(1);
    return !(dirty_ || stale) || Draw();
  }

  bool Draw() {
    dirty_ = false;
    drawn_ = Clock::now();
    const auto envelope = FetchMembers(client_, flags_);
    if (!envelope.ok()) {
      failure_ = envelope.status();
      return false;
    }
    if (json_) {
      context_.out() << JsonLine(*envelope) << '\n';
    } else {
      if (live_) context_.out() << "\x1b[H\x1b[2J";
      exit_ = PrintList(context_, *envelope, MembersView(*envelope, flags_.columns));
      if (exit_ == kExitUsage) return false;
    }
    context_.out().flush();
    return static_cast<bool>(context_.out());
  }

  Context& context_;
  const ApiClient& client_;
  const Flags& flags_;
  bool json_ = false;
  bool live_ = false;
  bool dirty_ = false;
  Clock::time_point drawn_;
  int exit_ = kExitOk;
  absl::Status failure_;
};

int ListMembers(Context& context, const Flags& flags) {
  const auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  if (flags.watch) return Watch(context, *client, flags).Run();
  const auto envelope = FetchMembers(*client, flags);
  if (!envelope.ok()) return context.Fail(envelope.status());
  return PrintList(context, *envelope, MembersView(*envelope, flags.columns));
}

void AddListFlags(Verb& verb, Flags* flags) {
  verb.Switch("-w,--watch", &flags->watch, "keep showing it as it changes")
      .Switch("--all", &flags->all, "also those gone for long, and the forgotten")
      .List("--filter", &flags->filters, "KEY=VALUE", "state=dead, name=gw-1 or tag.role=gateway")
      .Text("--columns", &flags->columns, "A,B", "these columns only, in this order");
}

}  // namespace

void AddMembers(Verb& root) {
  Context& context = root.context();
  const auto flags = std::make_shared<Flags>();
  Verb verb = root.Sub("members", "who is in the cluster, as this node sees it");
  const auto list = [&context, flags] { return ListMembers(context, *flags); };
  AddListFlags(verb, flags.get());
  verb.Example("sotto members -w", "live")
      .Example("sotto members --filter state=suspect,dead", "only those in trouble")
      .Example("sotto members -o tsv --columns node,state", "for scripts")
      .Run(list);
  Verb ls = verb.Sub("ls", "the table (also without \"ls\")");
  AddListFlags(ls, flags.get());
  ls.Example("sotto members ls -o wide", "with incarnation, boot id and certificate").Run(list);
  Verb show = verb.Sub("show", "all about one member");
  show.Word("MEMBER", &flags->name, true, "its name")
      .Example("sotto members show gw-3", "addresses, tags, certificate, who suspects it")
      .Run([&context, flags] { return ShowMember(context, *flags); });
}

}  // namespace sotto::cli
