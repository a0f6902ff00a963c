// sotto keys: the tree of its verbs, and those on files: making a key, putting one into a store. No
// verb takes a key as a word, and none prints one.
#include "cmd/sotto/commands/keys.h"

#include <boost/json/object.hpp>
#include <chrono>
#include <istream>
#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/commands/local_files.h"
#include "cmd/sotto/commands/store_target.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/cluster_key.h"
#include "store/file_rules.h"
#include "store/key_table.h"
#include "store/open_store.h"
#include "store/schema.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

struct Flags {
  std::string to, from;
  StoreFlags store;
  std::string bits = "256";
  bool prepared = false;
};

// A text that is overwritten when it goes.
struct SecretText {
  std::string text;
  SecretText() = default;
  SecretText(const SecretText&) = delete;
  SecretText& operator=(const SecretText&) = delete;
  ~SecretText() { WipeText(&text); }
};

absl::StatusOr<ClusterKeyRef> GenerateTo(const Flags& flags, const std::string& cluster) {
  const size_t bytes = flags.bits == "128" ? 16 : flags.bits == "192" ? 24 : 32;
  // Chance makes a text that could be taken for hex, or bytes that look weak, about never; drawing
  // again costs nothing.
  for (int attempt = 0;; ++attempt) {
    SecretText secret;
    SOTTO_ASSIGN_OR_RETURN(secret.text, GenerateKeyText(bytes));
    auto key = ParseClusterKeyText(secret.text, cluster, KeyPolicy{});
    if (!key.ok() && attempt < 8) continue;
    SOTTO_RETURN_IF_ERROR(key.status());
    SecretText line;
    line.text.reserve(secret.text.size() + 1);  // no copy of it is left behind by growing
    line.text.append(secret.text).append("\n");
    SOTTO_RETURN_IF_ERROR(AtomicCreate(flags.to, line.text, 0600));
    return key;
  }
}

int GenerateKey(Context& context, const Flags& flags) {
  if (flags.to.empty() || flags.to == "-") {
    Complaint complaint{kExitUsage, "USAGE", "\"sotto keys generate\" needs --to FILE", {}};
    complaint.Add("why", "a key is never printed");
    return context.Fail(complaint.Add("do", "sotto keys generate --to cluster.key"));
  }
  const auto cluster =
      ClusterOf(context, flags.store.cluster, "the cluster's name is part of a fingerprint");
  if (!cluster.ok()) return context.Fail(cluster.status());
  const auto key = GenerateTo(flags, *cluster);
  if (!key.ok()) return context.Fail(key.status());
  const std::string id = ToString((*key)->id());
  const json::value envelope =
      LocalEnvelope("sotto.key/1", {{"id", id},
                                    {"algorithm", std::string(ToString((*key)->algorithm()))},
                                    {"cluster", *cluster},
                                    {"file", flags.to}});
  const int exit = PrintOne(context, envelope, [&](std::ostream& out) { out << id << '\n'; });
  context.Note("wrote a key of " + *cluster + " to " + flags.to +
               " (0600). On each host: sotto keys "
               "import --from " +
               ShellQuote(flags.to));
  return exit;
}

// The text of --from: a file under the rules for secrets, or standard input.
absl::Status ReadKeyText(Context& context, const std::string& from, SecretText* secret) {
  if (from != "-") {
    FileRules rules;
    rules.also_owner = FolderOwner(FolderOf(from));
    SOTTO_ASSIGN_OR_RETURN(const SecretBytes bytes, ReadSecretFile(from, rules));
    secret->text.assign(bytes.view().begin(), bytes.view().end());
    return absl::OkStatus();
  }
  if (context.streams().in_is_terminal) {
    return WithLine(CodedError(absl::StatusCode::kInvalidArgument, "USAGE",
                               "a key is not typed at a terminal, where it would be seen"),
                    "do", "sotto keys import --from FILE, or pipe it in");
  }
  secret->text.resize(4096);
  context.in().read(secret->text.data(), static_cast<std::streamsize>(secret->text.size()));
  // Wiped by WipeText only as far as it is long; the rest was never written.
  secret->text.resize(static_cast<size_t>(context.in().gcount()));
  return absl::OkStatus();
}

absl::StatusOr<StoredKey> Import(Context& context, const Flags& flags, const StoreTarget& target) {
  SecretText secret;
  SOTTO_RETURN_IF_ERROR(ReadKeyText(context, flags.from, &secret));
  SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef key,
                         ParseClusterKeyText(secret.text, target.cluster, target.policy));
  SOTTO_ASSIGN_OR_RETURN(const std::unique_ptr<SystemsTable> table,
                         OpenSystemsTable(target.url, target.options));
  return ImportClusterKey(*table, key, target.policy, /*replace=*/false);
}

// The next key of a running cluster whose hosts share no database (design K4): it lies beside the
// one in use until `sotto keys activate`.
absl::StatusOr<KeyTable::Prepared> ImportPrepared(Context& context, const Flags& flags,
                                                  const StoreTarget& target) {
  SecretText secret;
  SOTTO_RETURN_IF_ERROR(ReadKeyText(context, flags.from, &secret));
  SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef key,
                         ParseClusterKeyText(secret.text, target.cluster, target.policy));
  SOTTO_ASSIGN_OR_RETURN(const std::shared_ptr<Database> database,
                         OpenDatabase(target.url, target.options));
  SOTTO_RETURN_IF_ERROR(CheckStore(*database, /*create=*/false));
  SOTTO_RETURN_IF_ERROR(
      EnsureSchema(*database, std::chrono::steady_clock::now() + target.options.deadline));
  KeyTable table(database, target.cluster);
  const std::string actor = LocalActor();
  SOTTO_RETURN_IF_ERROR(table.Adopt(target.policy, actor));
  return table.Prepare(target.policy, {.key = key, .actor = actor});
}

int ImportKeyPrepared(Context& context, const Flags& flags, const StoreTarget& target) {
  const auto prepared = ImportPrepared(context, flags, target);
  if (!prepared.ok()) return context.Fail(prepared.status());
  const std::string id = ToString(prepared->id);
  const std::string generation = std::to_string(prepared->generation);
  const json::value envelope = LocalEnvelope("sotto.key/1", {{"id", id},
                                                             {"generation", prepared->generation},
                                                             {"state", "prepared"},
                                                             {"cluster", target.cluster},
                                                             {"store", target.shown},
                                                             {"created", !prepared->resumed}});
  const int exit = PrintDone(context, envelope,
                             "key " + id + (prepared->resumed ? " was" : " is") + " PREPARED" +
                                 (prepared->resumed ? " before" : "") + " in " + target.shown +
                                 " as generation " + generation);
  context.Note("once it is on every host: sotto keys activate " + generation);
  return exit;
}

int ImportKey(Context& context, const Flags& flags) {
  if (flags.from.empty()) {
    Complaint complaint{
        kExitUsage, "USAGE", "\"sotto keys import\" needs --from FILE, or --from -", {}};
    return context.Fail(complaint.Add("do", "sotto keys import --from cluster.key"));
  }
  const auto target = StoreTargetOf(context, flags.store);
  if (!target.ok()) return context.Fail(target.status());
  if (flags.prepared) return ImportKeyPrepared(context, flags, *target);
  const auto stored = Import(context, flags, *target);
  if (!stored.ok()) return context.Fail(stored.status());
  const std::string id = ToString(stored->key->id());
  const json::value envelope = LocalEnvelope(
      "sotto.key/1",
      {{"id", id},
       {"algorithm", std::string(ToString(stored->key->algorithm()))},
       {"cluster", target->cluster},
       {"store", target->shown},
       {"row", stored->row},
       {"kek", stored->kek ? json::value(ToString(*stored->kek)) : json::value(nullptr)},
       {"created", stored->created}});
  return PrintDone(context, envelope,
                   "key " + id + (stored->created ? " now stands" : " stood already") + " in " +
                       target->shown + ", row " + stored->row +
                       (stored->kek ? ", wrapped under " + ToString(*stored->kek) : ""));
}

}  // namespace

void AddKeys(Verb& root) {
  Context& context = root.context();
  const auto flags = std::make_shared<Flags>();
  Verb verb = root.Sub("keys", "the cluster's key: who holds it, a new one, one from a file");
  verb.Example("sotto keys ls", "fingerprints, never keys")
      .Example("sotto keys rotate", "a new key while the cluster runs")
      .Example("sotto keys status", "who lacks it, and why")
      .Example("sotto keys generate --to cluster.key", "on one host; then copy the file")
      .Example("sotto keys import --from cluster.key", "on each host");
  AddKeysLs(verb);
  AddKeysStatus(verb);
  AddKeysRotate(verb);
  AddKeysPrepare(verb);
  AddKeysActivate(verb);
  AddKeysRemove(verb);
  AddKeysVerify(verb);
  AddKeysHistory(verb);
  verb.Sub("generate", "a fresh key into a new file; prints its fingerprint")
      .Text("--to", &flags->to, "FILE", "a new file, made with mode 0600")
      .Choice("--bits", &flags->bits, {"128", "192", "256"}, "AES-128, AES-192 or AES-256 (256)")
      .Text("--cluster", &flags->store.cluster, "NAME", "instead of the configuration's")
      .Example("sotto keys generate --to cluster.key --cluster edge-prod", "prints 9f3c-21aa")
      .Run([&context, flags] { return GenerateKey(context, *flags); });
  verb.Sub("import", "a key from a file into the store; never over another one")
      .Text("--from", &flags->from, "FILE", "the key's text; - for standard input")
      .Text("--store", &flags->store.store, "URL", "instead of the configuration's; see store.url")
      .Text("--password-file", &flags->store.password_file, "FILE",
            "the password for a server's user, mode 0600")
      .Text("--cluster", &flags->store.cluster, "NAME", "instead of the configuration's")
      .Text("--kek", &flags->store.kek, "SOURCE",
            "what wraps it there, instead of the configuration's")
      .Switch("--prepared", &flags->prepared,
              "as the next key, beside the one in use: for hosts that share no database")
      .Example("sotto keys import --from cluster.key", "into the store of /etc/sotto/sottod.toml")
      .Run([&context, flags] { return ImportKey(context, *flags); });
}

}  // namespace sotto::cli
