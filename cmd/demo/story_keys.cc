// The steps of the demo that change the cluster's key.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cmd/demo/story.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/cluster_key.h"
#include "store/file_rules.h"
#include "store/open_store.h"

namespace sotto {
namespace {

using Millis = Lab::Millis;
namespace json = boost::json;

constexpr Millis kSpreadLimit{15'000};
constexpr Millis kSealLimit{15'000};
constexpr Millis kBackLimit{15'000};

int64_t KeyDrops(const Lab& lab, const std::vector<int>& nodes) {
  int64_t sum = 0;
  for (const int node : nodes) {
    sum += lab.StatusNumber(node, "frames.dropped.unknown_key") +
           lab.StatusNumber(node, "frames.dropped.bad_tag");
  }
  return sum;
}

}  // namespace

absl::Status Story::AwaitSealing(const std::vector<int>& nodes, const std::string& id) {
  const auto begin = Lab::Clock::now();
  const bool all = lab_.WaitUntil(kSealLimit, [&] {
    return std::all_of(nodes.begin(), nodes.end(),
                       [&](int node) { return lab_.StatusText(node, "key.id") == id; });
  });
  if (!all) return Missed(absl::StrCat("every running node seals with ", id));
  say_.Say(absl::StrCat("all ", nodes.size(), " seal with ", id, ", after ",
                        SecondsText(Lab::Clock::now() - begin), "; each switched by itself."));
  return absl::OkStatus();
}

absl::Status Story::RotateWithoutOne(int absent) {
  SOTTO_RETURN_IF_ERROR(KillOne(absent));
  const std::vector<int> running = Running();
  const int64_t drops = KeyDrops(lab_, running);
  say_.Step(absl::StrCat("Changing the cluster's key while it runs, and while ", lab_.name(absent),
                         " is away."));
  SOTTO_ASSIGN_OR_RETURN(const json::value prepared,
                         lab_.Post(0, "/v1/keys/prepare", json::object{}));
  const json::value& made = prepared.at("data");
  const int64_t generation = made.at("generation").as_int64();
  const std::string id = made.at("id").as_string().c_str();
  say_.Say(absl::StrCat("prepare: generation ", generation, " (", id,
                        ") stands in the database; nobody seals with it yet."));
  absl::Status last;
  const auto begin = Lab::Clock::now();
  const bool activated = lab_.WaitUntil(kSpreadLimit, [&] {
    last = lab_.Post(0, "/v1/keys/activate", json::object{{"generation", generation}}).status();
    return last.ok();
  });
  if (!activated) return Missed(absl::StrCat("activation: ", last.message()));
  say_.Say(absl::StrCat("activate: allowed once each of the ", running.size(),
                        " that live had loaded and tested it, after ",
                        SecondsText(Lab::Clock::now() - begin), "."));
  SOTTO_RETURN_IF_ERROR(AwaitSealing(running, id));
  say_.Say(absl::StrCat(
      "frames dropped for a key reason meanwhile: ", KeyDrops(lab_, running) - drops, "."));
  const absl::Status refused =
      lab_.Post(0, "/v1/keys/remove", json::object{{"generation", generation - 1}}).status();
  if (ErrorCode(refused) != "KEY_STILL_NEEDED") return Missed("the old key is still needed");
  say_.Say(absl::StrCat("The old key cannot be removed: ", refused.message(), "."));
  SOTTO_RETURN_IF_ERROR(Restart(absent));
  const auto back = Lab::Clock::now();
  if (!lab_.WaitUntil(kBackLimit, [&] { return lab_.StatusText(absent, "key.id") == id; })) {
    return Missed(absl::StrCat(lab_.name(absent), " seals with ", id));
  }
  say_.Say(absl::StrCat(lab_.name(absent), " seals with ", id, " as well, ",
                        SecondsText(Lab::Clock::now() - back), " later; nobody helped it."));
  return absl::OkStatus();
}

absl::Status Story::RawUpdate() {
  say_.Step(
      "Changing it by hand: UPDATE Systems SET Value = '…' WHERE Name = 'ClusterEncryptionKey'.");
  SOTTO_ASSIGN_OR_RETURN(const std::unique_ptr<SystemsTable> table,
                         OpenSystemsTable("sqlite:" + lab_.store_path(), {}));
  SOTTO_ASSIGN_OR_RETURN(std::string before, table->Get(kClusterKeyRow));
  SOTTO_ASSIGN_OR_RETURN(std::string value, GenerateKeyText());
  const absl::Cleanup wipe = [&] {
    WipeText(&before);
    WipeText(&value);
  };
  SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef key,
                         ParseClusterKey(value, lab_.options().cluster, KeyPolicy{}));
  SOTTO_RETURN_IF_ERROR(table->Replace(kClusterKeyRow, before, value));
  say_.Say(absl::StrCat("The row holds ", ToString(key->id()),
                        " now. The daemons take that for a rotation, and go through its steps:"));
  SOTTO_RETURN_IF_ERROR(AwaitSealing(Running(), ToString(key->id())));
  const std::vector<int> all = Running();
  if (!lab_.AllAgree(all, all)) return Missed("nobody was lost over it");
  const auto history = lab_.Get(0, "/v1/keys/history?limit=2");
  if (!history.ok()) return history.status();
  for (const json::value& row : history->at("data").as_array()) {
    const json::value& detail = row.at("detail");
    say_.Plain(absl::StrCat("            ", row.at("action").as_string().c_str(), " generation ",
                            row.at("generation").as_int64(), " by ",
                            row.at("actor").is_string() ? row.at("actor").as_string().c_str() : "-",
                            detail.is_string() ? ", " : "",
                            detail.is_string() ? detail.as_string().c_str() : ""));
  }
  return absl::OkStatus();
}

}  // namespace sotto
