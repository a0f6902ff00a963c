// sotto version: of this tool, and of the daemon if one answers.
#include "cmd/version.h"

#include <boost/json/object.hpp>
#include <string>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"

namespace sotto::cli {
namespace {

int RunVersion(Context& context) {
  boost::json::object data{{"sotto", std::string(kVersion)}, {"sottod", nullptr}};
  auto client = context.Client();
  if (client.ok()) {
    client->set_timeout_s(context.TimeoutOr(1));
    // That no daemon runs is no error here.
    const auto answer = client->Get("/v1/version");
    if (answer.ok()) data["sottod"] = Member(Member(*answer, "data"), "version");
  }
  const boost::json::value envelope = LocalEnvelope("sotto.versions/1", std::move(data));
  return PrintOne(context, envelope, [&](std::ostream& out) {
    const std::string daemon = TextOf(Member(Member(envelope, "data"), "sottod"));
    out << "sotto " << kVersion << '\n';
    if (!daemon.empty()) out << "sottod " << Escape(daemon) << '\n';
  });
}

}  // namespace

void AddVersion(Verb& root) {
  Context& context = root.context();
  Verb verb = root.Sub("version", "of this tool, and of the daemon if one answers");
  verb.Run([&context] { return RunVersion(context); });
}

}  // namespace sotto::cli
