// sotto leave: the node says goodbye, and its daemon ends.
#include <algorithm>
#include <boost/json/object.hpp>
#include <string>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/verb.h"

namespace sotto::cli {
namespace {

int RunLeave(Context& context) {
  auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  if (!context.Confirm("The node behind " + client->socket_path() +
                       " leaves its cluster, and sottod stops. Go on?")) {
    return context.Fail(context.NotConfirmed());
  }
  const double deadline = context.TimeoutOr(10);
  client->set_timeout_s(deadline);
  const auto envelope =
      client->Post("/v1/leave", boost::json::object{{"timeout_s", std::min(deadline * 0.8, 60.0)}});
  if (!envelope.ok()) return context.Fail(envelope.status());
  const std::string node = TextOf(Member(*envelope, "observer"));
  if (TrueOf(Member(Member(*envelope, "data"), "heard"))) {
    return PrintDone(context, *envelope, node + " has left; sottod stops");
  }
  const int exit = PrintDone(context, *envelope,
                             node + " has said goodbye, and nobody has confirmed it; sottod stops");
  return exit == kExitOk ? kExitPartial : exit;
}

}  // namespace

void AddLeave(Verb& root) {
  Context& context = root.context();
  Verb verb = root.Sub("leave", "say goodbye to the cluster and stop the daemon");
  verb.Example("sotto leave --yes", "without a question; exit 3 if nobody confirmed it")
      .Run([&context] { return RunLeave(context); });
}

}  // namespace sotto::cli
