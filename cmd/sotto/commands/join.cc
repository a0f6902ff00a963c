// sotto join: more contacts for a running node.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cmd/config/address.h"
#include "cmd/config/config.h"
#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"

namespace sotto::cli {
namespace {

int RunJoin(Context& context, const std::vector<std::string>& contacts) {
  boost::json::array list;
  for (const std::string& contact : contacts) {
    const auto address = ParseConfigAddress(contact, kDefaultPort);
    if (!address.ok()) return context.Fail(address.status());
    list.emplace_back(ToString(*address));
  }
  auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  // The daemon's own deadline lies before ours, so that it can say why nobody answered.
  const double deadline = context.TimeoutOr(10);
  client->set_timeout_s(deadline);
  const boost::json::object body{{"contacts", std::move(list)},
                                 {"timeout_s", std::min(deadline * 0.8, 60.0)}};
  const auto envelope = client->Post("/v1/join", body);
  if (!envelope.ok()) return context.Fail(envelope.status());
  const uint64_t answered = CountOf(Member(Member(*envelope, "data"), "answered"));
  return PrintDone(context, *envelope,
                   TextOf(Member(*envelope, "observer")) + ": " + Plural(answered, "contact") +
                       " of " + std::to_string(contacts.size()) + " answered");
}

}  // namespace

void AddJoin(Verb& root) {
  Context& context = root.context();
  const auto contacts = std::make_shared<std::vector<std::string>>();
  Verb verb = root.Sub("join", "name contacts to a running node, and wait until one answers");
  verb.Words("ADDR", contacts.get(), 1, 64, "host or host:port of a member (port 7950)")
      .Example("sotto join gw-2.internal:7950", "they are also tried again for ever")
      .Run([&context, contacts] { return RunJoin(context, *contacts); });
}

}  // namespace sotto::cli
