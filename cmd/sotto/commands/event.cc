// sotto event: says something to every member.
#include <boost/json/object.hpp>
#include <memory>
#include <string>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/commands/payload.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"
#include "gossip/base/coded_error.h"

namespace sotto::cli {
namespace {

struct Flags {
  std::string name;
  std::string payload;
  std::string file;
  bool no_coalesce = false;
};

int RunEvent(Context& context, const Flags& flags) {
  const auto payload = ReadPayload(context, flags.payload, flags.file);
  if (!payload.ok()) return context.Fail(payload.status());
  const auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  boost::json::object body{{"name", flags.name}, {"coalesce", !flags.no_coalesce}};
  AddPayloadTo(*payload, &body);
  const auto envelope = client->Post("/v1/event", body);
  if (!envelope.ok()) return context.Fail(envelope.status());
  return PrintDone(context, *envelope,
                   TextOf(Member(*envelope, "observer")) + " tells everybody: " + flags.name +
                       (payload->empty() ? "" : ", " + Plural(payload->size(), "byte")));
}

}  // namespace

void AddEvent(Verb& root) {
  Context& context = root.context();
  const auto flags = std::make_shared<Flags>();
  Verb verb = root.Sub("event", "say something to every member; handlers and watchers hear it");
  verb.Word("NAME", &flags->name, true, "what it is about: deploy, cache/flush")
      .Word("PAYLOAD", &flags->payload, false, "up to about 1 KiB; - for standard input")
      .Text("--file", &flags->file, "FILE", "the payload is this file's content")
      .Switch("--no-coalesce", &flags->no_coalesce,
              "every one counts; otherwise the newest of a name may stand for all")
      .Example("sotto event deploy v7", "the handlers on \"user_event:deploy\" run everywhere")
      .Example("sotto event config --file new.json", "a payload from a file")
      .Example("date | sotto event tick -", "… or from standard input")
      .Run([&context, flags] { return RunEvent(context, *flags); });
}

}  // namespace sotto::cli
