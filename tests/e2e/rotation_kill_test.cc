// SIGKILL in the middle of a rotation: of the tool that drives it, of the leader that carries it.
// Whatever was done stays done, and whoever comes next goes on.
#include <signal.h>

#include <algorithm>
#include <boost/json.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gossip/base/check.h"
#include "store/cluster_key.h"
#include "tests/e2e/rotation_fixture.h"
#include "tests/e2e/tool.h"

namespace sotto {
namespace {

constexpr int kLeader = 0;  // n1, the lowest name
constexpr int kLate = 3;    // n4, who is stopped where a rotation has to wait

// The lock that every step of a rotation begins with, held by somebody else; on SQLite the lock of
// all that write.
class RowLock {
 public:
  RowLock(std::unique_ptr<RawSession> session, SqlDialect dialect) : session_(std::move(session)) {
    session_->Run(dialect == SqlDialect::kSqlite ? "BEGIN IMMEDIATE" : "BEGIN");
    if (dialect == SqlDialect::kSqlite) return;
    session_->Run("SELECT Value FROM Systems WHERE Name = 'ClusterEncryptionKey' FOR UPDATE");
  }
  ~RowLock() { session_->Run("COMMIT"); }
  RowLock(const RowLock&) = delete;
  RowLock& operator=(const RowLock&) = delete;

 private:
  const std::unique_ptr<RawSession> session_;
};

class RotationKillTest : public RotationTest {
 protected:
  RowLock Lock() const { return RowLock(Session(), GetParam()); }

  // A session of the cluster waits for a lock; SQLite does not tell.
  bool SomebodyWaits() const {
    switch (GetParam()) {
      case SqlDialect::kSqlite:
        return true;
      case SqlDialect::kPostgres:
        return Sql("SELECT COUNT(*) FROM pg_locks WHERE NOT granted") != "0";
      case SqlDialect::kMysql:
        break;
    }
    return Sql("SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = "
               "'LOCK WAIT'") != "0";
  }
  // The node's keeper looks twice a second, and a look that asks a stopped member takes 1 s: one
  // that is overdue by more stands before the lock, where it gives up after 5 s at the earliest.
  bool AwaitStanding(int node) const {
    return lab_->WaitUntil(Seconds(20), [&] { return LastReadAgo(node) > 2.5 && SomebodyWaits(); });
  }
  double LastReadAgo(int node) const {
    const auto envelope = lab_->Get(node, "/v1/status");
    const json::value* ago = envelope.ok() ? At(*envelope, "data.store.last_read_s_ago") : nullptr;
    return ago == nullptr || !ago->is_number() ? 0 : ago->to_number<double>();
  }
  std::string HoldersOf(int64_t generation) const {
    return Sql(
        absl::StrCat("SELECT COUNT(*) FROM ClusterMembers WHERE GenerationHeld = ", generation));
  }
  int64_t Newest() const { return std::stoll(Sql("SELECT MAX(Generation) FROM ClusterKeys")); }
  std::string StateOf(int64_t generation) const {
    return Sql(absl::StrCat("SELECT State FROM ClusterKeys WHERE Generation = ", generation));
  }
  void Signal(const std::vector<int>& nodes, int signal) {
    for (const int node : nodes) lab_->process(node)->Signal(signal);
  }
};

// ---- the tool -----------------------------------------------------------------------------------

class KilledTool : public RotationKillTest {
 protected:
  std::unique_ptr<Tool> Rotate() {
    return std::make_unique<Tool>(
        std::vector<std::string>{"--target", "unix:" + lab_->File(kLeader, "admin.sock"),
                                 "--progress", "json", "-o", "json", "keys", "rotate", "--now"},
        folder_.File("rotate.log"));
  }
  // As the tool hears it: a member's last answer counts for a while, also beside a newer row.
  bool AllAreSaidToHold(int64_t generation) const {
    const json::value status = Status(kLeader, /*ask=*/true);
    const json::value* members = At(status, "members");
    if (members == nullptr) return false;
    const json::array& all = members->as_array();
    return std::all_of(all.begin(), all.end(), [&](const json::value& member) {
      return member.at("held") == json::value(generation);
    });
  }
  // Events go round while the tool works, as many as a node may say.
  void KillAt(Tool& tool, const std::vector<std::string>& parts) {
    const bool has_said = tool.AwaitLine(parts, Seconds(30), [&] {
      const std::string sent = Problem(lab_->Post(1, "/v1/event", json::object{{"name", "tick"}}));
      EXPECT_TRUE(sent == "ok" || sent.starts_with("EVENT_RATE_LIMITED")) << sent;
    });
    EXPECT_TRUE(has_said) << tool.Output();
    EXPECT_TRUE(tool.Kill()) << tool.Output();
  }

  void BeforeItsFirstAnswer() {
    const int64_t newest = Newest();
    Signal({kLeader}, SIGSTOP);
    const auto tool = Rotate();
    EXPECT_TRUE(lab_->WaitUntil(Seconds(10), [&] { return tool->HasSocket(); }));
    EXPECT_TRUE(tool->Kill());
    Signal({kLeader}, SIGCONT);
    EXPECT_EQ(tool->Output(), "");
    EXPECT_EQ(Newest(), newest);
  }
  // One member is away for these two, so that the tool gets no further.
  void OncePrepared() {
    Signal({kLate}, SIGSTOP);
    const auto tool = Rotate();
    KillAt(*tool, {R"("step":"begin")"});
    EXPECT_EQ(StateOf(Newest()), "PREPARED");
    Signal({kLate}, SIGCONT);
  }
  void InTheSpread() {
    Signal({kLate}, SIGSTOP);
    const auto tool = Rotate();
    KillAt(*tool, {R"("step":"spread")", R"("node":"n4")", R"("result":"waiting")"});
    EXPECT_EQ(StateOf(Newest()), "PREPARED");
    Signal({kLate}, SIGCONT);
  }
  void RightAfterActivation() {
    const auto tool = Rotate();
    KillAt(*tool, {R"("step":"spread","result":"ok")"});
    EXPECT_EQ(StateOf(Newest()), "ACTIVE");
  }
  // All hold the key, so that it can be activated; but one is stopped before it seals with it.
  void InTheSealing() {
    const int64_t generation = Prepare(1);
    EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return AllAreSaidToHold(generation); }));
    Signal({kLate}, SIGSTOP);
    const auto tool = Rotate();
    KillAt(*tool, {R"("step":"activate")", R"("node":"n4")", R"("result":"waiting")"});
    EXPECT_EQ(StateOf(generation), "ACTIVE");
    Signal({kLate}, SIGCONT);
  }
  // For a second the tool waits for frames under way; the leader may be faster than both.
  void BeforeTheOldKeyIsRemoved() {
    const auto tool = Rotate();
    KillAt(*tool, {R"("step":"activate","result":"ok")"});
    EXPECT_EQ(tool->Line({R"("step":"retire")"}), "") << tool->Output();
  }
  void WhileItsCallWaitsForTheRow() {
    const int64_t newest = Newest();
    {
      const RowLock lock = Lock();
      const auto tool = Rotate();
      EXPECT_TRUE(AwaitStanding(kLeader)) << tool->Output();
      EXPECT_TRUE(tool->Kill()) << tool->Output();
      EXPECT_EQ(tool->Output(), "");
      EXPECT_EQ(Newest(), newest);
    }
    // The daemon ends what it was asked for, though nobody listens.
    EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return StateOf(newest + 1) == "PREPARED"; }));
  }

  // A key that waits is gone on with, and no further one is made.
  void RunAgain() {
    const int64_t newest = Newest();
    const bool waits = StateOf(newest) == "PREPARED";
    const auto tool = Rotate();
    ASSERT_EQ(tool->Wait(Seconds(60)), 0) << tool->Output();
    EXPECT_NE(tool->Output().find("sotto.key_rotation/1"), std::string::npos) << tool->Output();
    EXPECT_EQ(KeysThatAre("ACTIVE"), "1");
    EXPECT_EQ(KeysThatAre("PREPARED"), "0");
    if (waits) {
      EXPECT_EQ(Newest(), newest);
    }
    EXPECT_TRUE(AllSealWith(All(), ActiveId()));
    // An older key that a killed run has left, the leader removes.
    EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return IsSettled(All()); })) << Keys();
    EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(10))) << Views();
  }
};

TEST_P(KilledTool, IsRunAgainAndEndsTheRotation) {
  // A member is stopped for some seconds at a time, and is not to be taken for dead by that.
  StartCluster(4, "500ms", "[gossip]\nsuspicion_alpha = 20\n");
  const auto since = NextEvents();
  const std::vector<std::pair<const char*, std::function<void()>>> points = {
      {"before its first answer", [&] { BeforeItsFirstAnswer(); }},
      {"once prepared", [&] { OncePrepared(); }},
      {"in the spread", [&] { InTheSpread(); }},
      {"right after activation", [&] { RightAfterActivation(); }},
      {"in the sealing", [&] { InTheSealing(); }},
      {"before the old key is removed", [&] { BeforeTheOldKeyIsRemoved(); }},
      {"while its call waits for the row", [&] { WhileItsCallWaitsForTheRow(); }}};
  for (const auto& [name, kill] : points) {
    SCOPED_TRACE(name);
    kill();
    RunAgain();
    ExpectNoKeyDrops(All());
    EXPECT_TRUE(Said("died", since).empty()) << testing::PrintToString(Said("died", since));
    ASSERT_FALSE(HasFailure());
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, KilledTool,
                         testing::Values(SqlDialect::kSqlite, SqlDialect::kPostgres,
                                         SqlDialect::kMysql),
                         NameOfStore);

// ---- the leader ---------------------------------------------------------------------------------

class KilledLeader : public RotationKillTest {
 protected:
  // A raw UPDATE that only the leader can take, since all others are stopped meanwhile: first it is
  // written, or written and locked; then the leader goes on.
  void WriteForTheLeader(const std::function<void()>& write) {
    Signal(All(), SIGSTOP);
    write();
    lab_->process(kLeader)->Signal(SIGCONT);
  }
  static std::string FreshKey() {
    const auto key = GenerateKeyText();
    SOTTO_CHECK(key.ok());
    return *key;
  }
  size_t LeaderSaid(const std::string& event) const {
    const std::string log = lab_->LogOf(kLeader);
    size_t count = 0;
    for (size_t at = log.find(event); at != std::string::npos; at = log.find(event, at + 1)) {
      ++count;
    }
    return count;
  }
  bool AwaitSaid(const std::string& event, size_t before) const {
    return lab_->WaitUntil(Seconds(20), [&] { return LeaderSaid(event) > before; });
  }
  // The rotation waits for n4 alone, which all believe to live.
  void AwaitWaiting() {
    const int64_t generation = Newest() + 1;
    Signal({kLate}, SIGSTOP);
    Write(FreshKey());
    EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return HoldersOf(generation) == "3"; }));
    EXPECT_EQ(StateOf(generation), "PREPARED");
    const std::string late = lab_->StatesAt(kLeader)["n4"];
    EXPECT_TRUE(late == "alive" || late == "suspect") << late;
  }

  void WhileItWaitsToTakeTheUpdate() {
    const int64_t newest = Newest();
    std::unique_ptr<RowLock> lock;
    WriteForTheLeader([&] {
      Write(FreshKey());
      lock = std::make_unique<RowLock>(Session(), GetParam());
    });
    Signal(All(), SIGCONT);  // they stand behind it
    EXPECT_TRUE(AwaitStanding(kLeader));
    lab_->Kill(kLeader);
    EXPECT_EQ(Newest(), newest);
  }
  void RightAfterItPrepared() {
    const size_t before = LeaderSaid("key_written_by_hand");
    WriteForTheLeader([&] { Write(FreshKey()); });
    EXPECT_TRUE(AwaitSaid("key_written_by_hand", before));
    lab_->Kill(kLeader);
    EXPECT_EQ(StateOf(Newest()), "PREPARED");
    Signal({1, 2, 3}, SIGCONT);
  }
  void WhileItWaitsForAStoppedMember() {
    AwaitWaiting();
    lab_->Kill(kLeader);
    EXPECT_EQ(StateOf(Newest()), "PREPARED");
    Signal({kLate}, SIGCONT);
  }
  // On SQLite the lock also keeps the leader from writing down that n4 has the key, which comes
  // first.
  void WhileItWaitsToActivate() {
    AwaitWaiting();
    const std::string held = absl::StrCat(" held=", Newest(), ",");
    const RowLock lock = Lock();
    Signal({kLate}, SIGCONT);
    EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] {
      return lab_->LogOf(kLate).find(held) != std::string::npos;
    })) << held;
    EXPECT_TRUE(AwaitStanding(kLeader));
    lab_->Kill(kLeader);
    EXPECT_EQ(StateOf(Newest()), "PREPARED");
  }
  // No other is the leader as long as it lives.
  void RightAfterItActivated() {
    const size_t before = LeaderSaid("key_activated");
    Write(FreshKey());
    EXPECT_TRUE(AwaitSaid("key_activated", before));
    lab_->Kill(kLeader);
    EXPECT_EQ(StateOf(Newest()), "ACTIVE");
  }
  void WhileItWaitsToRemove() {
    const int64_t old = Newest(), generation = old + 1;
    Write(FreshKey());
    EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] {
      return Sql(absl::StrCat("SELECT COUNT(*) FROM ClusterMembers WHERE GenerationSealing = ",
                              generation)) == "4";
    })) << Keys();
    const RowLock lock = Lock();
    EXPECT_EQ(StateOf(old), "RETIRED");
    EXPECT_TRUE(AwaitStanding(kLeader));
    lab_->Kill(kLeader);
    EXPECT_EQ(StateOf(old), "RETIRED");
  }

  // n2 leads once n1 is dead; an old key that n1 may need stays until it is back.
  void ExpectCompleted(int64_t generation) {
    const std::vector<int> living = {1, 2, 3};
    ASSERT_TRUE(lab_->WaitUntil(Seconds(40), [&] {
      return StateOf(generation) == "ACTIVE" && AllSealWith(living, ActiveId());
    })) << Keys();
    ASSERT_TRUE(lab_->WaitAgree(living, living, Seconds(40))) << Views();
    ASSERT_TRUE(lab_->Start(kLeader).ok());
    ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(30))) << Views();
    EXPECT_TRUE(lab_->WaitUntil(Seconds(30), [&] { return IsSettled(All()); })) << Keys();
    EXPECT_EQ(Newest(), generation);
  }
};

TEST_P(KilledLeader, IsFollowedByTheNext) {
  StartCluster(4, "500ms", "[rotation]\ninterval = \"0s\"\nretire_after = \"5s\"\n");
  const auto since = NextEvents();
  const std::vector<std::pair<const char*, std::function<void()>>> points = {
      {"while it waits to take the update", [&] { WhileItWaitsToTakeTheUpdate(); }},
      {"right after it prepared", [&] { RightAfterItPrepared(); }},
      {"while it waits for a stopped member", [&] { WhileItWaitsForAStoppedMember(); }},
      {"while it waits to activate", [&] { WhileItWaitsToActivate(); }},
      {"right after it activated", [&] { RightAfterItActivated(); }},
      {"while it waits to remove", [&] { WhileItWaitsToRemove(); }}};
  int64_t generation = 1;
  for (const auto& [name, kill] : points) {
    SCOPED_TRACE(name);
    ASSERT_EQ(std::string(Status(1).at("leader").as_string().c_str()), "n1");
    kill();
    ExpectCompleted(++generation);
    ExpectNoKeyDrops({1, 2, 3});
    for (const std::string& died : Said("died", since)) EXPECT_TRUE(died.ends_with(":n1")) << died;
    ASSERT_FALSE(HasFailure());
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, KilledLeader,
                         testing::Values(SqlDialect::kSqlite, SqlDialect::kPostgres,
                                         SqlDialect::kMysql),
                         NameOfStore);

}  // namespace
}  // namespace sotto
