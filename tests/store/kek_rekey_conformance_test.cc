// Wrapping a store's values under another key-encryption key, and back, on each of the three.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "crypto/envelope.h"
#include "gossip/base/coded_error.h"
#include "store/cluster_key.h"
#include "store/kek_backup_internal.h"
#include "store/kek_rekey.h"
#include "store/key_table.h"
#include "store/schema.h"
#include "store/systems_rows.h"
#include "tests/store/store_under_test.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kCluster[] = "edge";
constexpr char kRow[] = "ClusterEncryptionKey";
constexpr char kKeyA[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

SqlTime Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(30); }

KekRef MakeKek(uint8_t seed) {
  std::vector<uint8_t> bytes(32);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(seed + 7 * i);
  return *Kek::Create(SecretBytes(bytes));
}
// The first one wraps.
KeyPolicy With(const std::vector<uint8_t>& seeds) {
  std::vector<KekRef> others;
  for (size_t i = 1; i < seeds.size(); ++i) others.push_back(MakeKek(seeds[i]));
  KeyPolicy policy;
  policy.keks = *KekRing::Create(MakeKek(seeds[0]), std::move(others));
  return policy;
}
std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class KekRekeyConformance : public testing::Test {
 protected:
  static constexpr uint8_t kOld = 1, kNew = 101, kOther = 201;

  KekRekeyConformance() : database_(NewStore()) {}

  std::string Run(const std::string& sql) {
    return StoreUnderTest::Get().Session(database_)->Run(sql);
  }
  std::shared_ptr<Database> Base() { return OpenBase(database_); }

  // Generation 1 REMOVED, 2 RETIRED, 3 ACTIVE, 4 PREPARED, all under the old KEK.
  void Fill() {
    const KeyPolicy old = With({kOld});
    SOTTO_ASSERT_OK(EnsureSchema(*Base(), Soon()));
    KeyPolicy mint = old;
    mint.may_create = true;
    SOTTO_ASSERT_OK(LoadOrCreateClusterKey(*OpenTable(database_), kCluster, mint));
    KeyTable table(Base(), kCluster);
    SOTTO_ASSERT_OK(table.Adopt(old, "gw-1"));
    for (uint64_t generation = 2; generation <= 3; ++generation) {
      SOTTO_ASSERT_OK(table.Prepare(old, {.actor = "uid 0"}));
      SOTTO_ASSERT_OK(table.Activate(old, {generation, {}, 0, "uid 0"}));
    }
    SOTTO_ASSERT_OK(table.Prepare(old, {.actor = "uid 0"}));
    SOTTO_ASSERT_OK(table.Remove({1, {}, "uid 0"}));
  }

  RekeyParams Params(const KeyPolicy& policy) {
    RekeyParams params;
    params.cluster = kCluster;
    params.policy = policy;
    params.actor = "uid 0";
    params.now_ms = 1'764'000'000'000;
    params.deadline = Soon();
    return params;
  }
  absl::StatusOr<RekeyReport> Rekey(const KeyPolicy& policy, const std::string& backup = "") {
    RekeyParams params = Params(policy);
    params.backup = backup;
    return RekeyStore(*Base(), params);
  }
  absl::StatusOr<RekeyReport> RollBack(const KeyPolicy& policy, const std::string& backup) {
    RekeyParams params = Params(policy);
    params.backup = backup;
    return RollBackStore(*Base(), params);
  }

  KeyRows Rows() {
    KeyTable table(Base(), kCluster);
    auto rows = table.Read();
    SOTTO_EXPECT_OK(rows);
    return rows.ok() ? *std::move(rows) : KeyRows();
  }
  // The secrets by generation; those that do not open under `policy` are missing.
  std::map<uint64_t, std::string> Secrets(const KeyPolicy& policy) {
    std::map<uint64_t, std::string> out;
    for (const KeyRow& row : Rows().keys) {
      if (row.state == KeyState::kRemoved) continue;
      const auto key = KeyOfRow(row, kCluster, policy);
      if (!key.ok()) continue;
      const auto view = (*key)->secret().view();
      out[row.generation] = std::string(view.begin(), view.end());
    }
    return out;
  }
  void ExpectMirrored() {
    const KeyRows rows = Rows();
    ASSERT_NE(rows.active(), nullptr);
    EXPECT_EQ(rows.value, rows.active()->value);
  }
  std::vector<std::string> States(const KeyPolicy& policy) {
    std::vector<std::string> out;
    const auto survey = SurveyStore(*Base(), kCluster, policy, Soon());
    SOTTO_EXPECT_OK(survey);
    if (!survey.ok()) return out;
    for (const KekUsage& usage : survey->keks) {
      std::string line(ToString(usage.state));
      for (const uint64_t generation : usage.generations) line += " " + std::to_string(generation);
      out.push_back(line + (usage.systems ? " S" : ""));
    }
    return out;
  }

  const TempDir dir_;
  const std::string database_;
};

TEST_F(KekRekeyConformance, WrapsEveryValueAndKeepsEveryKey) {
  Fill();
  EXPECT_THAT(States(With({kNew, kOld})), ElementsAre("active", "retired, rekey pending 2 3 4 S"));
  EXPECT_THAT(States(With({kNew})), ElementsAre("active", "MISSING KEY 2 3 4 S"));
  const auto before = Secrets(With({kOld}));
  ASSERT_THAT(before, SizeIs(3));
  const auto report = Rekey(With({kNew, kOld}));
  SOTTO_ASSERT_OK(report);
  EXPECT_EQ(report->changed, 4u);
  EXPECT_EQ(report->as_they_were, 0u);
  EXPECT_EQ(Secrets(With({kNew})), before);
  ExpectMirrored();
  EXPECT_EQ(Run("SELECT count(*) FROM ClusterKeys WHERE Value IS NULL"), "1");
  EXPECT_THAT(States(With({kNew, kOld})), ElementsAre("active 2 3 4 S", "retired, SAFE TO REMOVE"));
  // Again: nothing to do, and nothing is written.
  const std::string value = Rows().value;
  const auto again = Rekey(With({kNew, kOld}));
  SOTTO_ASSERT_OK(again);
  EXPECT_EQ(again->changed, 0u);
  EXPECT_EQ(again->as_they_were, 4u);
  EXPECT_EQ(Rows().value, value);
  EXPECT_EQ(Run("SELECT count(*) FROM ClusterKeyHistory WHERE Action = 'kek rekey'"), "1");
  // The rotation goes on where it was.
  SOTTO_EXPECT_OK(KeyTable(Base(), kCluster).Activate(With({kNew}), {4, {}, 0, "uid 0"}));
  ExpectMirrored();
}

TEST_F(KekRekeyConformance, FinishesMixedRows) {
  Fill();
  SOTTO_ASSERT_OK(Rekey(With({kNew, kOld})));
  // A node that still wraps under the old one has prepared another key.
  KeyTable table(Base(), kCluster);
  SOTTO_ASSERT_OK(table.Activate(With({kNew, kOld}), {4, {}, 0, ""}));
  SOTTO_ASSERT_OK(table.Prepare(With({kOld, kNew}), {.actor = "uid 0"}));
  EXPECT_THAT(States(With({kNew, kOld})),
              ElementsAre("active 2 3 4 S", "retired, rekey pending 5"));
  const auto report = Rekey(With({kNew, kOld}));
  SOTTO_ASSERT_OK(report);
  EXPECT_EQ(report->changed, 1u);
  EXPECT_THAT(Secrets(With({kNew})), SizeIs(4));
  ExpectMirrored();
}

TEST_F(KekRekeyConformance, ADryRunOpensAllAndWritesNothing) {
  Fill();
  const std::string before = Rows().value;
  RekeyParams params = Params(With({kNew, kOld}));
  params.dry_run = true;
  params.backup = dir_.File("b");
  const auto report = RekeyStore(*Base(), params);
  SOTTO_ASSERT_OK(report);
  EXPECT_EQ(report->changed, 4u);
  EXPECT_EQ(Rows().value, before);
  EXPECT_FALSE(std::filesystem::exists(params.backup));
  params.policy = With({kNew, kOther});
  EXPECT_THAT(RekeyStore(*Base(), params).status(), HasCode("KEK_MISSING"));
}

TEST_F(KekRekeyConformance, OneValueThatDoesNotOpenKeepsAllAsTheyWere) {
  Fill();
  EXPECT_THAT(Rekey(With({kNew, kOther})).status(), HasCode("KEK_MISSING"));
  EXPECT_THAT(Rekey(KeyPolicy{}).status(), HasCode("KEK_NONE"));
  // One bit of the box's last byte but the padding: another value, of the same form.
  std::string value = Rows().Find(2)->value;
  const size_t at = value.size() - 8;
  value[at] = value[at] == 'A' ? 'B' : 'A';
  Run("UPDATE ClusterKeys SET Value = '" + value + "' WHERE Generation = 2");
  const auto refused = Rekey(With({kNew, kOld}), dir_.File("b"));
  EXPECT_THAT(refused.status(), HasCode("KEY_CORRUPT"));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("generation 2"));
  EXPECT_THAT(States(With({kNew, kOld})), ElementsAre("active", "retired, rekey pending 2 3 4 S"));
  EXPECT_FALSE(std::filesystem::exists(dir_.File("b")));
  const auto survey = SurveyStore(*Base(), kCluster, With({kNew, kOld}), Soon());
  SOTTO_ASSERT_OK(survey);
  ASSERT_THAT(survey->troubles, SizeIs(1));
  EXPECT_EQ(survey->troubles[0].where, "generation 2");
  EXPECT_EQ(ErrorCode(survey->troubles[0].status), "KEY_CORRUPT");
}

TEST_F(KekRekeyConformance, AValueOfAnotherRowIsNotWrappedAnew) {
  Fill();
  const std::string moved = Rows().Find(2)->value;
  Run("UPDATE ClusterKeys SET Value = '" + moved + "' WHERE Generation = 4");
  EXPECT_THAT(Rekey(With({kNew, kOld})).status(), HasCode("KEY_CORRUPT"));
}

TEST_F(KekRekeyConformance, PlainValuesAreWrappedOnlyWhereTheyAreAccepted) {
  SOTTO_ASSERT_OK(OpenTable(database_)->InsertIfAbsent(kRow, kKeyA));
  EXPECT_THAT(States(With({kNew})), ElementsAre("active", "legacy S"));
  EXPECT_THAT(States(KeyPolicy{}), ElementsAre("legacy S"));
  SOTTO_ASSERT_OK(EnsureSchema(*Base(), Soon()));
  SOTTO_ASSERT_OK(KeyTable(Base(), kCluster).Adopt(KeyPolicy{}, "gw-1"));
  EXPECT_THAT(Rekey(With({kNew})).status(), HasCode("KEY_PLAIN_REFUSED"));
  EXPECT_EQ(Rows().value, kKeyA);
  KeyPolicy accepting = With({kNew});
  accepting.accept_plain = true;
  // Not even on a disk of the operator's own.
  EXPECT_THAT(Rekey(accepting, dir_.File("b")).status(), HasCode("KEK_BACKUP_PLAIN"));
  EXPECT_FALSE(std::filesystem::exists(dir_.File("b")));
  EXPECT_EQ(Rows().value, kKeyA);
  SOTTO_ASSERT_OK(Rekey(accepting));
  EXPECT_THAT(States(With({kNew})), ElementsAre("active 1 S"));
  ExpectMirrored();
}

TEST_F(KekRekeyConformance, ARowThatHoldsTheSameKeyOtherwiseBecomesTheMirrorAgain) {
  Fill();
  // As `keys import` writes it: the ACTIVE key, wrapped a second time.
  const KeyRows rows = Rows();
  const auto key = KeyOfRow(*rows.active(), kCluster, With({kOld}));
  SOTTO_ASSERT_OK(key);
  const auto other = WrapKey(**key, *MakeKek(kOld));
  SOTTO_ASSERT_OK(other);
  ASSERT_NE(*other, rows.value);
  Run("UPDATE Systems SET Value = '" + *other + "'");
  SOTTO_ASSERT_OK(Rekey(With({kNew, kOld})));
  ExpectMirrored();
}

TEST_F(KekRekeyConformance, TheBackupHoldsWrappedValuesAndBringsThemBack) {
  Fill();
  const KeyRows before = Rows();
  const std::string file = dir_.File("kek.backup");
  const auto report = Rekey(With({kNew, kOld}), file);
  SOTTO_ASSERT_OK(report);
  EXPECT_TRUE(report->backed_up);
  struct stat info {};
  ASSERT_EQ(stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_THAT(ReadAll(file), HasSubstr(before.Find(2)->value));

  // Without the old KEK nobody could open what would be put back.
  EXPECT_THAT(RollBack(With({kNew}), file).status(), HasCode("KEK_MISSING"));
  EXPECT_THAT(States(With({kNew})), ElementsAre("active 2 3 4 S"));
  const auto back = RollBack(With({kNew, kOld}), file);
  SOTTO_ASSERT_OK(back);
  EXPECT_EQ(back->changed, 4u);
  EXPECT_THAT(back->skipped, IsEmpty());
  EXPECT_EQ(Rows().value, before.value);
  for (const uint64_t generation : {2u, 3u, 4u}) {
    EXPECT_EQ(Rows().Find(generation)->value, before.Find(generation)->value);
  }
  EXPECT_EQ(Run("SELECT count(*) FROM ClusterKeyHistory WHERE Action = 'kek rollback'"), "1");
  const auto again = RollBack(With({kNew, kOld}), file);
  SOTTO_ASSERT_OK(again);
  EXPECT_EQ(again->changed, 0u);
}

TEST_F(KekRekeyConformance, ABackupNeverWritesOverAnotherFile) {
  Fill();
  std::ofstream(dir_.File("kek.backup")) << "mine";
  ASSERT_EQ(chmod(dir_.File("kek.backup").c_str(), 0600), 0);
  EXPECT_THAT(Rekey(With({kNew, kOld}), dir_.File("kek.backup")).status(), HasCode("FILE_EXISTS"));
  EXPECT_EQ(ReadAll(dir_.File("kek.backup")), "mine");
  EXPECT_THAT(States(With({kNew, kOld})), ElementsAre("active", "retired, rekey pending 2 3 4 S"));
}

TEST_F(KekRekeyConformance, ARemovedKeyNeverReturnsAndANewerOneStays) {
  Fill();
  const KeyPolicy both = With({kNew, kOld});
  const std::string file = dir_.File("kek.backup");
  SOTTO_ASSERT_OK(Rekey(both, file));
  KeyTable table(Base(), kCluster);
  SOTTO_ASSERT_OK(table.Activate(both, {4, {}, 0, ""}));
  SOTTO_ASSERT_OK(table.Remove({2, {}, ""}));
  SOTTO_ASSERT_OK(table.Prepare(both, {}));
  SOTTO_ASSERT_OK(table.Activate(both, {5, {}, 0, ""}));
  const std::string systems = Rows().value;
  const auto back = RollBack(both, file);
  SOTTO_ASSERT_OK(back);
  EXPECT_EQ(back->changed, 2u) << "3 and 4";
  ASSERT_THAT(back->skipped, SizeIs(2));
  EXPECT_EQ(back->skipped[0].where, "generation 2");
  EXPECT_THAT(back->skipped[0].why, HasSubstr("removed"));
  EXPECT_THAT(back->skipped[1].where, HasSubstr(kRow));
  EXPECT_EQ(Rows().Find(2)->state, KeyState::kRemoved);
  EXPECT_EQ(Rows().Find(2)->value, "");
  EXPECT_EQ(Rows().value, systems);
  ExpectMirrored();
}

TEST_F(KekRekeyConformance, ADamagedBackupOrAnotherClustersPutsNothingBack) {
  Fill();
  const KeyPolicy both = With({kNew, kOld});
  const std::string file = dir_.File("kek.backup");
  SOTTO_ASSERT_OK(Rekey(both, file));
  const std::string whole = ReadAll(file);
  std::vector<std::string> texts = {"",
                                    "junk",
                                    "end 0 00000000\n",
                                    whole + "x",
                                    internal::KekBackupText("other", {}),
                                    internal::KekBackupText(kCluster, {{"", 2, "x", kKeyA}})};
  for (size_t length = 0; length < whole.size(); length += 7) {
    texts.push_back(whole.substr(0, length));
  }
  for (size_t at = 0; at < whole.size(); at += 5) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    texts.push_back(flipped);
  }
  for (const std::string& text : texts) {
    std::ofstream(file, std::ios::trunc) << text;
    EXPECT_THAT(RollBack(both, file).status(), HasCode("KEK_BACKUP_INVALID")) << text;
  }
  EXPECT_THAT(States(both), ElementsAre("active 2 3 4 S", "retired, SAFE TO REMOVE"));
}

// Killed before each of its steps, with a backup: old or new, and the same call completes it.
TEST_F(KekRekeyConformance, AKilledRekeyLeavesTheOldValuesAndIsRunAgain) {
  Fill();
  const KeyPolicy both = With({kNew, kOld});
  const auto secrets = Secrets(With({kOld}));
  const std::string value = Rows().value;
  const std::string file = dir_.File("kek.backup");
  const std::vector<std::string> steps = {"lock",         "open",         "backup",  "generation 2",
                                          "generation 3", "generation 4", "systems", "commit"};
  for (const std::string& step : steps) {
    SCOPED_TRACE(step);
    const pid_t child = fork();
    if (child == 0) {
      RekeyParams params = Params(both);
      params.backup = file;
      params.progress = [&step](std::string_view at) {
        if (at == step) raise(SIGKILL);
      };
      RekeyStore(*Base(), params).status().IgnoreError();
      _exit(1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
    EXPECT_EQ(Rows().value, value);
    EXPECT_EQ(Secrets(With({kOld})), secrets);
  }
  EXPECT_TRUE(std::filesystem::exists(file));
  const auto report = Rekey(both, file);
  SOTTO_ASSERT_OK(report);
  EXPECT_EQ(report->changed, 4u);
  EXPECT_EQ(Secrets(With({kNew})), secrets);
  ExpectMirrored();
  SOTTO_EXPECT_OK(RollBack(both, file));
  EXPECT_EQ(Rows().value, value);
}

TEST_F(KekRekeyConformance, RefusesAStoreThatMovedAndOneWithoutAKey) {
  EXPECT_THAT(Rekey(With({kNew})).status(), HasCode("KEY_MISSING"));
  EXPECT_THAT(SurveyStore(*Base(), kCluster, With({kNew}), Soon()).status(),
              HasCode("KEY_MISSING"));
  Fill();
  Run("INSERT INTO ClusterMoves (ClusterName, MovedTo, MovedAt) VALUES ('edge', 'mysql://x', 1)");
  EXPECT_THAT(Rekey(With({kNew, kOld})).status(), HasCode("STORE_MOVED"));
}

}  // namespace
}  // namespace sotto
