// sotto tags: what this node says of itself.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

int PrintTags(Context& context, const json::value& envelope) {
  return PrintOne(context, envelope, [&](std::ostream& out) {
    const json::object& tags = ObjectOf(Member(envelope, "data"));
    for (const auto& [key, value] : tags) {
      out << Escape(std::string(key)) << '=' << Escape(PlainOf(value)) << '\n';
    }
    if (tags.empty()) out << "no tags\n";
  });
}

int ListTags(Context& context) {
  const auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  const auto envelope = client->Get("/v1/tags");
  if (!envelope.ok()) return context.Fail(envelope.status());
  return PrintTags(context, *envelope);
}

int ChangeTags(Context& context, const json::object& body) {
  const auto client = context.Client();
  if (!client.ok()) return context.Fail(client.status());
  const auto envelope = client->Post("/v1/tags", body);
  if (!envelope.ok()) return context.Fail(envelope.status());
  return PrintTags(context, *envelope);
}

int SetTags(Context& context, const std::vector<std::string>& words) {
  json::object set;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0 || set.contains(word.substr(0, equals))) {
      const bool twice = equals != std::string::npos && equals != 0;
      Complaint complaint{kExitUsage,
                          "USAGE",
                          twice ? "\"" + word.substr(0, equals) + "\" is named twice"
                                : "a tag is KEY=VALUE, got \"" + word + "\"",
                          {}};
      return context.Fail(complaint.Add("do", "sotto tags set role=gateway"));
    }
    set[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return ChangeTags(context, {{"set", std::move(set)}});
}

int UnsetTags(Context& context, const std::vector<std::string>& keys) {
  json::array unset;
  for (const std::string& key : keys) unset.emplace_back(key);
  return ChangeTags(context, {{"unset", std::move(unset)}});
}

}  // namespace

void AddTags(Verb& root) {
  Context& context = root.context();
  const auto words = std::make_shared<std::vector<std::string>>();
  Verb verb = root.Sub("tags", "what this node says of itself");
  verb.Example("sotto tags set role=gateway zone=fra1-a", "until the daemon's next start")
      .Example("sotto tags unset zone", "take one away")
      .Run([&context] { return ListTags(context); });
  verb.Sub("ls", "the tags (also without \"ls\")").Run([&context] { return ListTags(context); });
  verb.Sub("set", "add or change tags of the running node")
      .Words("KEY=VALUE", words.get(), 1, 64, "a tag")
      .Run([&context, words] { return SetTags(context, *words); });
  verb.Sub("unset", "take tags away from the running node")
      .Words("KEY", words.get(), 1, 64, "a tag's key")
      .Run([&context, words] { return UnsetTags(context, *words); });
}

}  // namespace sotto::cli
