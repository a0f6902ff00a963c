// Each check of the invariants fires when it is fed with a history that breaks it, and only then.
#include "tests/sim/invariants.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/fake_signer.h"

namespace sotto::sim {
namespace {

using testing::FakeAccusation;
using testing::FakeAlive;
using testing::FakeProcess;
using testing::MakeFakeProcess;

class InvariantsTest : public ::testing::Test {
 protected:
  InvariantsTest() : invariants_(ProtocolOptions::Lan()), b_(MakeFakeProcess("b")) {
    invariants_.OnStart(0, "a");
  }

  void Tell(EventKind kind, uint32_t counter, std::string member = "b") {
    Event event;
    event.kind = kind;
    event.member = std::move(member);
    event.incarnation = Incarnation::Of(1, counter);
    invariants_.OnEvent(0, event);
  }

  StatementRef Signed(StatementRef statement) {
    invariants_.OnSigned(statement->signer, *statement);
    return statement;
  }

  static MemberInfo Row(const StatementRef& owner, MemberState state = MemberState::kAlive) {
    MemberInfo info;
    info.name = owner->subject;
    info.state = state;
    info.incarnation = owner->incarnation;
    info.owner = owner;
    return info;
  }

  std::string Broken() const {
    return invariants_.violation() ? invariants_.violation()->invariant : "";
  }

  Invariants invariants_;
  FakeProcess b_;
};

TEST_F(InvariantsTest, AnHonestLifeBreaksNothing) {
  Tell(EventKind::kJoined, 0);
  Tell(EventKind::kSuspected, 0);
  Tell(EventKind::kRefuted, 1);
  Tell(EventKind::kUpdated, 2);
  Tell(EventKind::kSuspected, 2);
  Tell(EventKind::kDied, 2);
  Tell(EventKind::kReturned, 3);
  Tell(EventKind::kLeft, 3);
  Tell(EventKind::kReaped, 3);
  Tell(EventKind::kJoined, 4);
  Tell(EventKind::kForgotten, 4);
  EXPECT_EQ(Broken(), "");
}

TEST_F(InvariantsTest, S1AnIncarnationFallsInEvents) {
  Tell(EventKind::kJoined, 5);
  Tell(EventKind::kUpdated, 4);
  EXPECT_EQ(Broken(), "S1");
}

TEST_F(InvariantsTest, S1OnesOwnIncarnationFalls) {
  invariants_.OnOwnState(0, Incarnation::Of(2, 0), Standing{}, std::nullopt, 1);
  EXPECT_EQ(Broken(), "");
  invariants_.OnOwnState(0, Incarnation::Of(1, 9), Standing{}, std::nullopt, 1);
  EXPECT_EQ(Broken(), "S1");
}

TEST_F(InvariantsTest, S1AStoredIncarnationFalls) {
  invariants_.OnTable(0, {Row(Signed(FakeAlive(b_, Incarnation::Of(1, 5))))});
  EXPECT_EQ(Broken(), "");
  invariants_.OnTable(0, {Row(Signed(FakeAlive(b_, Incarnation::Of(1, 4))))});
  EXPECT_EQ(Broken(), "S1");
}

TEST_F(InvariantsTest, S2TheDeadReturnAtTheIncarnationOfTheirDeath) {
  Tell(EventKind::kJoined, 1);
  Tell(EventKind::kSuspected, 1);
  Tell(EventKind::kDied, 1);
  Tell(EventKind::kReturned, 1);
  EXPECT_EQ(Broken(), "S2");
}

TEST_F(InvariantsTest, S2TheLeftReturnAtTheIncarnationOfTheirLeave) {
  Tell(EventKind::kJoined, 1);
  Tell(EventKind::kLeft, 2);
  Tell(EventKind::kJoined, 2);
  EXPECT_EQ(Broken(), "S2");
}

TEST_F(InvariantsTest, S2ATableResurrectsWithoutAnEvent) {
  Tell(EventKind::kJoined, 1);
  Tell(EventKind::kSuspected, 1);
  Tell(EventKind::kDied, 1);
  StatementRef alive = Signed(FakeAlive(b_, Incarnation::Of(1, 1)));
  invariants_.OnTable(0, {Row(alive, MemberState::kDead)});
  EXPECT_EQ(Broken(), "");
  invariants_.OnTable(0, {Row(alive, MemberState::kAlive)});
  EXPECT_EQ(Broken(), "S2");
}

TEST_F(InvariantsTest, S2AForgottenRowMayComeBackAsNew) {
  Tell(EventKind::kJoined, 1);
  Tell(EventKind::kLeft, 1);
  invariants_.OnTable(0, {});
  Tell(EventKind::kJoined, 1);
  EXPECT_EQ(Broken(), "");
}

TEST_F(InvariantsTest, S3ARowHoldsWhatItsOwnerNeverSigned) {
  invariants_.OnTable(0, {Row(FakeAlive(b_, Incarnation::Of(1, 1)))});
  EXPECT_EQ(Broken(), "S3");
}

TEST_F(InvariantsTest, S3AnAliveSignedByAnotherMember) {
  StatementRef forged = FakeAlive(b_, Incarnation::Of(1, 1));
  invariants_.OnSigned("mallory", *forged);
  invariants_.OnTable(0, {Row(forged)});
  EXPECT_EQ(Broken(), "S3");
}

TEST_F(InvariantsTest, S3AForgedStatementIsRelayed) {
  SendPacket send;
  send.to = Signed(FakeAlive(b_, Incarnation::Of(1, 1)));
  send.packet.statements = {
      Signed(FakeAccusation(StatementKind::kSuspect, "c", Incarnation(), "b"))};
  invariants_.OnSend(0, send, 3, true);
  EXPECT_EQ(Broken(), "");
  send.packet.statements = {FakeAccusation(StatementKind::kDead, "c", Incarnation(), "b")};
  invariants_.OnSend(0, send, 3, true);
  EXPECT_EQ(Broken(), "S3");
}

TEST_F(InvariantsTest, S4TheDeadAreSuspected) {
  Tell(EventKind::kJoined, 1);
  Tell(EventKind::kSuspected, 1);
  Tell(EventKind::kDied, 1);
  Tell(EventKind::kSuspected, 1);
  EXPECT_EQ(Broken(), "S4");
}

TEST_F(InvariantsTest, S4DeathWithoutSuspicion) {
  Tell(EventKind::kJoined, 1);
  Tell(EventKind::kDied, 1);
  EXPECT_EQ(Broken(), "S4");
}

TEST_F(InvariantsTest, S4TheLeftDie) {
  Tell(EventKind::kJoined, 1);
  Tell(EventKind::kLeft, 1);
  Tell(EventKind::kDied, 1);
  EXPECT_EQ(Broken(), "S4");
}

TEST_F(InvariantsTest, S4RefutedWithoutSuspicion) {
  Tell(EventKind::kJoined, 1);
  Tell(EventKind::kRefuted, 2);
  EXPECT_EQ(Broken(), "S4");
}

TEST_F(InvariantsTest, S4JoinsTwice) {
  Tell(EventKind::kJoined, 1);
  Tell(EventKind::kJoined, 2);
  EXPECT_EQ(Broken(), "S4");
}

TEST_F(InvariantsTest, S5ANodeTellsItsOwnDeath) {
  Tell(EventKind::kDied, 1, "a");
  EXPECT_EQ(Broken(), "S5");
}

TEST_F(InvariantsTest, S5ANodeSeesItselfSuspect) {
  MemberInfo self;
  self.name = "a";
  self.state = MemberState::kSuspect;
  invariants_.OnOwnState(0, Incarnation::Of(1, 0), Standing{}, self, 1);
  EXPECT_EQ(Broken(), "S5");
}

TEST_F(InvariantsTest, S5ALeaverMaySeeItselfLeft) {
  MemberInfo self;
  self.name = "a";
  self.state = MemberState::kLeft;
  Standing standing;
  standing.leaving = true;
  invariants_.OnOwnState(0, Incarnation::Of(1, 0), standing, self, 1);
  EXPECT_EQ(Broken(), "");
  invariants_.OnOwnState(0, Incarnation::Of(1, 0), Standing{}, self, 1);
  EXPECT_EQ(Broken(), "S5");
}

TEST_F(InvariantsTest, S8APacketIsTooLarge) {
  SendPacket send;
  send.to = Signed(FakeAlive(b_, Incarnation::Of(1, 1)));
  StatementRef statement = Signed(FakeAlive(MakeFakeProcess("c"), Incarnation::Of(1, 1)));
  size_t fit =
      (ProtocolOptions::Lan().packet_bytes_max - kPacketOverheadBytes) / WireSizeMax(*statement);
  send.packet.statements.assign(fit, statement);
  invariants_.OnSend(0, send, 1000, true);
  EXPECT_EQ(Broken(), "");
  send.packet.statements.assign(fit + 1, statement);
  invariants_.OnSend(0, send, 1000, true);
  EXPECT_EQ(Broken(), "S8");
}

TEST_F(InvariantsTest, S8AStatementIsSentOnForEver) {
  SendPacket send;
  send.to = Signed(FakeAlive(b_, Incarnation::Of(1, 1)));
  send.packet.statements = {Signed(FakeAlive(MakeFakeProcess("c"), Incarnation::Of(1, 1)))};
  for (int i = 0; i < 5; ++i) invariants_.OnSend(0, send, 3, true);
  EXPECT_EQ(Broken(), "");
  for (int i = 0; i < 100; ++i) invariants_.OnSend(0, send, 3, true);
  EXPECT_EQ(Broken(), "S8");
}

TEST_F(InvariantsTest, S8AnswersAndFavoursToTheDeadAreNotBroadcasts) {
  SendPacket send;
  send.to = Signed(FakeAlive(b_, Incarnation::Of(1, 1)));
  send.packet.statements = {Signed(FakeAlive(MakeFakeProcess("c"), Incarnation::Of(1, 1)))};
  for (int i = 0; i < 100; ++i) {
    invariants_.OnAsked(0, "c");
    invariants_.OnSend(0, send, 3, true);
    invariants_.OnSend(0, send, 3, false);
  }
  EXPECT_EQ(Broken(), "");
}

TEST_F(InvariantsTest, S8AQueueGrowsWithoutBound) {
  Standing standing;
  standing.broadcasts_queued = 100;
  invariants_.OnOwnState(0, Incarnation(), standing, std::nullopt, 10);
  EXPECT_EQ(Broken(), "");
  standing.broadcasts_queued = 1'000'000;
  invariants_.OnOwnState(0, Incarnation(), standing, std::nullopt, 10);
  EXPECT_EQ(Broken(), "S8");
}

TEST_F(InvariantsTest, TheFirstViolationIsKept) {
  Tell(EventKind::kDied, 1, "a");
  Tell(EventKind::kUpdated, 1, "z");
  ASSERT_TRUE(invariants_.violation().has_value());
  EXPECT_EQ(invariants_.violation()->invariant, "S5");
  EXPECT_EQ(invariants_.violation()->member, "a");
}

}  // namespace
}  // namespace sotto::sim
