// sotto kek: the key-encryption key, which wraps the cluster's key where it lies. No verb takes a
// key as a word, and none prints one.
#include "crypto/kek.h"

#include <boost/json/object.hpp>
#include <filesystem>
#include <memory>
#include <ostream>
#include <string>

#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/commands/kek_store.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"
#include "gossip/base/status_macros.h"
#include "store/cluster_key.h"
#include "store/file_rules.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

struct Flags {
  std::string to;
};

absl::StatusOr<KekRef> GenerateTo(const std::string& file) {
  SOTTO_ASSIGN_OR_RETURN(std::string text, GenerateKeyText(Kek::kKeyBytes));
  absl::StatusOr<KekRef> kek = ParseKekText(text);
  std::string line;
  line.reserve(text.size() + 1);  // no copy of it is left behind by growing
  line.append(text).append("\n");
  const absl::Status written = kek.ok() ? AtomicCreate(file, line, 0600) : kek.status();
  WipeText(&text);
  WipeText(&line);
  SOTTO_RETURN_IF_ERROR(written);
  return kek;
}

int Generate(Context& context, const Flags& flags) {
  if (flags.to.empty() || flags.to == "-") {
    Complaint complaint{kExitUsage, "USAGE", "\"sotto kek generate\" needs --to FILE", {}};
    complaint.Add("why", "a key is never printed");
    return context.Fail(complaint.Add("do", "sotto kek generate --to /etc/sotto/kek"));
  }
  const auto kek = GenerateTo(flags.to);
  if (!kek.ok()) return context.Fail(kek.status());
  const std::string id = ToString((*kek)->id());
  const json::value envelope = LocalEnvelope("sotto.kek/1", {{"id", id}, {"file", flags.to}});
  const int exit = PrintOne(context, envelope, [&](std::ostream& out) { out << id << '\n'; });
  context.Note("wrote a key-encryption key to " + flags.to +
               " (0600). Copy it to every node, keep a copy apart from backups of the database, "
               "and set encryption.kek = \"file:" +
               std::filesystem::absolute(flags.to).string() + "\"");
  return exit;
}

}  // namespace

void AddKek(Verb& root) {
  Context& context = root.context();
  const auto flags = std::make_shared<Flags>();
  Verb verb = root.Sub("kek", "the key-encryption key: what wraps the cluster's key at rest");
  verb.Example("sotto kek generate --to /etc/sotto/kek", "then the same file on every node");
  verb.Sub("generate", "a fresh one into a new file; prints its id")
      .Text("--to", &flags->to, "FILE", "a new file, made with mode 0600")
      .Example("sotto kek generate --to /etc/sotto/kek", "prints LSfGgNInMfs")
      .Run([&context, flags] { return Generate(context, *flags); });
  AddKekStoreVerbs(verb);
}

}  // namespace sotto::cli
