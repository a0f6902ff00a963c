// sotto forget: strike a member that is gone for good.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <memory>
#include <string>
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

int RunForget(Context& context, const std::string& name) {
  const absl::Status named = CheckMemberWord(name);
  if (!named.ok()) return context.Fail(named);
  const auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  const auto members = client->Get("/v1/members?all=1");
  if (!members.ok()) return context.Fail(members.status());
  std::vector<std::string> names;
  bool alive = false;
  for (const boost::json::value& row : ArrayOf(Member(*members, "data"))) {
    names.push_back(TextOf(Member(row, "name")));
    if (names.back() == name) alive = TextOf(Member(row, "state")) == "alive";
  }
  if (alive && !context.Confirm(name + " is alive; while it answers, it comes back. Go on?")) {
    return context.Fail(context.NotConfirmed());
  }
  const auto envelope = client->Post("/v1/forget", boost::json::object{{"name", name}});
  if (!envelope.ok()) {
    Complaint complaint = ComplaintOf(envelope.status());
    const std::string near = complaint.code == "MEMBER_UNKNOWN" ? Nearest(name, names) : "";
    if (!near.empty()) complaint.Add("what", "did you mean \"" + near + "\"?");
    return context.Fail(complaint);
  }
  return PrintDone(context, *envelope,
                   name + " is forgotten; it returns by itself if it ever speaks again");
}

}  // namespace

void AddForget(Verb& root) {
  Context& context = root.context();
  const auto name = std::make_shared<std::string>();
  Verb verb = root.Sub("forget", "strike a member that is gone for good");
  verb.Word("MEMBER", name.get(), true, "its name")
      .Example("sotto forget gw-6", "hidden at once, on every node")
      .Run([&context, name] { return RunForget(context, *name); });
}

}  // namespace sotto::cli
