// One node's ring under everything that a database, an attacker or a member can say.
#include "store/key_agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "crypto/envelope.h"
#include "gossip/base/coded_error.h"
#include "gossip/key_courier.h"
#include "store/cluster_key.h"
#include "tests/support/status_matchers.h"

namespace sotto {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kCluster[] = "edge";
constexpr int64_t kNow = 1'764'000'000'000;

KekRef MakeKek(uint8_t seed) {
  std::vector<uint8_t> bytes(Kek::kKeyBytes);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(seed + 7 * i);
  return *Kek::Create(SecretBytes(bytes));
}

ClusterKeyRef MakeKey(uint64_t generation, size_t size = 32) {
  std::vector<uint8_t> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(0x91 * generation + 11 * i);
  return *ClusterKey::Create(SecretBytes(bytes), kCluster, generation);
}

class KeyAgentTest : public testing::Test {
 protected:
  KeyAgentTest() { policy_.keks = *KekRing::Create(MakeKek(3), {}); }

  KeyRow Row(const ClusterKeyRef& key, KeyState state) const {
    KeyRow row;
    row.generation = key->generation();
    row.id = key->id();
    row.state = state;
    if (state != KeyState::kRemoved) row.value = *KeyRowText(*key, policy_);
    return row;
  }

  // A table of these keys whose Systems row holds the ACTIVE one.
  KeyRows Rows(const std::vector<std::pair<uint64_t, KeyState>>& keys) const {
    KeyRows rows;
    rows.row = "ClusterEncryptionKey";
    for (const auto& [generation, state] : keys) {
      rows.keys.push_back(Row(MakeKey(generation), state));
      if (state == KeyState::kActive) rows.value = rows.keys.back().value;
    }
    return rows;
  }

  KeyAgent Agent() const { return KeyAgent({kCluster, "gw-1", policy_}, KeyRing()); }

  // "2* 1": newest first, the sealing one marked.
  static std::string Shape(const KeyAgent& agent) {
    std::string out;
    const KeyRing ring = agent.ring();
    for (const RingKey& key : ring.keys) {
      out += (out.empty() ? "" : " ") + std::to_string(key.key->generation());
      if (key.key->id() == ring.sealing) out += "*";
    }
    return out;
  }

  KeyPolicy policy_;
};

TEST_F(KeyAgentTest, FollowsARotation) {
  KeyAgent agent = Agent();
  KeyLook look = agent.Judge(Rows({{1, KeyState::kActive}}));
  SOTTO_EXPECT_OK(look.status);
  EXPECT_TRUE(look.ring_changed);
  EXPECT_EQ(Shape(agent), "1*");
  EXPECT_FALSE(agent.Judge(Rows({{1, KeyState::kActive}})).ring_changed)
      << "wrapped anew, the same";
  SOTTO_EXPECT_OK(agent.Judge(Rows({{1, KeyState::kActive}, {2, KeyState::kPrepared}})).status);
  EXPECT_EQ(Shape(agent), "2 1*");
  EXPECT_EQ(agent.Ack(kNow).held, 2u);
  EXPECT_EQ(agent.Ack(kNow).sealing, 1u);
  agent.Judge(Rows({{1, KeyState::kRetired}, {2, KeyState::kActive}}));
  EXPECT_EQ(Shape(agent), "2* 1");
  agent.Judge(Rows({{1, KeyState::kRemoved}, {2, KeyState::kActive}}));
  EXPECT_EQ(Shape(agent), "2*");
  EXPECT_EQ(agent.generation_seen(), 2u);
  EXPECT_THAT(agent.Take(*WrapKey(*MakeKey(1), *MakeKek(3))), HasCode("KEY_RETURNS"));
}

TEST_F(KeyAgentTest, TakesKeysOfAllThreeLengths) {
  KeyAgent agent = Agent();
  KeyRows rows;
  rows.row = "ClusterEncryptionKey";
  rows.keys = {Row(MakeKey(1, 16), KeyState::kRetired), Row(MakeKey(2, 24), KeyState::kActive),
               Row(MakeKey(3, 32), KeyState::kPrepared)};
  rows.value = rows.keys[1].value;
  SOTTO_EXPECT_OK(agent.Judge(std::move(rows)).status);
  EXPECT_EQ(Shape(agent), "3 2* 1");
}

TEST_F(KeyAgentTest, AnOldBackupTakesNoNodeBack) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{1, KeyState::kRetired}, {2, KeyState::kActive}}));
  const KeyLook look = agent.Judge(Rows({{1, KeyState::kActive}}));
  EXPECT_THAT(look.status, HasCode("KEY_ROLLBACK"));
  EXPECT_FALSE(look.ring_changed);
  EXPECT_EQ(Shape(agent), "2* 1");
  EXPECT_EQ(agent.Ack(kNow).trouble, "KEY_ROLLBACK");
  // Nor one that was restarted, and remembers the generation alone.
  KeyPolicy remembers = policy_;
  remembers.generation_seen = 2;
  KeyAgent restarted({kCluster, "gw-1", remembers}, KeyRing());
  EXPECT_THAT(restarted.Judge(Rows({{1, KeyState::kActive}})).status, HasCode("KEY_ROLLBACK"));
  EXPECT_EQ(Shape(restarted), "");
  restarted.AcceptRollback();
  SOTTO_EXPECT_OK(restarted.Judge(Rows({{1, KeyState::kActive}})).status);
  EXPECT_EQ(Shape(restarted), "1*");
}

TEST_F(KeyAgentTest, ARemovedKeyNeverReturns) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{1, KeyState::kRemoved}, {2, KeyState::kActive}}));
  // Whoever writes the database puts the old value back, from an old copy.
  EXPECT_EQ(agent.Judge(Rows({{1, KeyState::kRetired}, {2, KeyState::kActive}})).rows.keys.size(),
            2u);
  EXPECT_EQ(Shape(agent), "2*");
  EXPECT_EQ(agent.Ack(kNow).trouble, "KEY_RETURNS");
  // Or a member hands it over.
  EXPECT_THAT(agent.Take(*WrapKey(*MakeKey(1), *MakeKek(3))), HasCode("KEY_RETURNS"));
  // Or it stands in Systems, as generation 7.
  KeyRows rows = Rows({{1, KeyState::kRemoved}, {2, KeyState::kActive}});
  const ClusterKeyRef again =
      *ClusterKey::Create(MakeKey(1)->secret().Clone(), kCluster, 7, /*allow_weak=*/true);
  rows.value = *WrapKey(*again, *MakeKek(3));
  const KeyLook look = agent.Judge(std::move(rows));
  EXPECT_THAT(look.status, HasCode("KEY_RETURNS"));
  EXPECT_FALSE(look.external);
  EXPECT_EQ(Shape(agent), "2*");
}

TEST_F(KeyAgentTest, ARemovedKeyDoesNotReturnAfterARestart) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{1, KeyState::kRemoved}, {2, KeyState::kActive}}));
  EXPECT_EQ(agent.removed(), (std::map<uint64_t, KeyId>{{1, MakeKey(1)->id()}}));
  // The table is forged while the node is down: it would open frames under the old key again.
  KeyAgent restarted({kCluster, "gw-1", policy_, agent.removed()}, KeyRing());
  restarted.Judge(Rows({{1, KeyState::kRetired}, {2, KeyState::kActive}}));
  EXPECT_EQ(Shape(restarted), "2*");
  EXPECT_EQ(restarted.Ack(kNow).trouble, "KEY_RETURNS");
  EXPECT_THAT(restarted.Take(*WrapKey(*MakeKey(1), *MakeKek(3))), HasCode("KEY_RETURNS"));
  restarted.AcceptRollback();
  EXPECT_TRUE(restarted.removed().empty());
}

// Whoever writes the table names the ACTIVE key in a REMOVED row of his own.
TEST_F(KeyAgentTest, AForgedRemovalTakesNoKeyInUse) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{1, KeyState::kRetired}, {2, KeyState::kActive}}));
  for (const uint64_t generation : {uint64_t{1}, uint64_t{999}}) {
    KeyRows rows = Rows({{1, KeyState::kRetired}, {2, KeyState::kActive}});
    KeyRow forged = Row(MakeKey(2), KeyState::kRemoved);
    forged.generation = generation;
    rows.keys.insert(generation == 1 ? rows.keys.begin() : rows.keys.end(), std::move(forged));
    agent.Judge(std::move(rows));
    EXPECT_EQ(Shape(agent), "2* 1") << generation;
    EXPECT_TRUE(agent.removed().empty()) << generation;
  }
}

// Junk neither fills the memory nor displaces what is in it.
TEST_F(KeyAgentTest, JunkRemovalsAreNoMemory) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{1, KeyState::kRemoved}, {2, KeyState::kActive}}));
  for (int round = 0; round < 3; ++round) {
    KeyRows rows = Rows({{2, KeyState::kActive}});
    for (uint32_t i = 0; i < 1'000; ++i) {
      KeyRow junk;
      junk.generation = i == 0 ? 1 : 1'000'000 + i;
      junk.id = KeyId{0x1000 * static_cast<uint32_t>(round) + i};
      junk.state = KeyState::kRemoved;
      rows.keys.push_back(junk);
    }
    agent.Judge(std::move(rows));
  }
  EXPECT_EQ(agent.removed(), (std::map<uint64_t, KeyId>{{1, MakeKey(1)->id()}}));
}

// A row that nobody can open, or a key that waits, does not hide that the ACTIVE one is an old one.
TEST_F(KeyAgentTest, NothingHidesThatTheActiveKeyIsOlder) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{4, KeyState::kRetired}, {5, KeyState::kActive}}));
  KeyPolicy remembers = policy_;
  remembers.generation_seen = 5;
  for (const bool junk : {true, false}) {
    for (const KeyState state : {KeyState::kRemoved, KeyState::kRetired, KeyState::kPrepared}) {
      const auto forged = [&] {
        KeyRows rows = Rows({{4, KeyState::kActive}, {5, state}, {6, KeyState::kPrepared}});
        if (junk) rows.keys[2].value = "junk";
        // With a value that does not open, PREPARED does not help either.
        if (state == KeyState::kPrepared) rows.keys[1].value = "junk";
        return rows;
      };
      EXPECT_THAT(agent.Judge(forged()).status, HasCode("KEY_ROLLBACK"));
      EXPECT_EQ(Shape(agent), "5* 4");
      KeyAgent restarted({kCluster, "gw-1", remembers, {}}, KeyRing());
      EXPECT_THAT(restarted.Judge(forged()).status, HasCode("KEY_ROLLBACK"));
      EXPECT_EQ(Shape(restarted), "");
    }
  }
}

// A member whose frames came first made this node seal with a PREPARED key: that is no rollback.
TEST_F(KeyAgentTest, ATableThatIsAMomentBehindIsNoOldBackup) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{1, KeyState::kActive}, {2, KeyState::kPrepared}}));
  EXPECT_TRUE(agent.UseNewer(MakeKey(2)->id()));
  SOTTO_EXPECT_OK(agent.Judge(Rows({{1, KeyState::kActive}, {2, KeyState::kPrepared}})).status);
  EXPECT_EQ(Shape(agent), "2* 1");
  KeyPolicy remembers = policy_;
  remembers.generation_seen = agent.generation_seen();
  KeyAgent restarted({kCluster, "gw-1", remembers, {}}, KeyRing());
  SOTTO_EXPECT_OK(restarted.Judge(Rows({{1, KeyState::kActive}, {2, KeyState::kPrepared}})).status);
  EXPECT_EQ(Shape(restarted), "2* 1");
}

// An insider wraps a key of his own and offers it: what the store does not know does not last.
TEST_F(KeyAgentTest, AnInventedKeyDoesNotOutliveItsInventor) {
  const auto table = [this] { return Rows({{4, KeyState::kRetired}, {5, KeyState::kActive}}); };
  KeyAgent agent = Agent();
  agent.Judge(table());
  EXPECT_THAT(agent.Take(*WrapKey(*MakeKey(5 + KeyAgent::kTakenAheadMax + 1), *MakeKek(3))),
              HasCode("KEY_AHEAD"));
  const std::string invented = *WrapKey(*MakeKey(9), *MakeKek(3));
  SOTTO_ASSERT_OK(agent.Take(invented));
  EXPECT_EQ(Shape(agent), "9 5* 4") << "it opens what others seal";
  EXPECT_FALSE(agent.UseNewer(MakeKey(9)->id())) << "and is not sealed with";
  EXPECT_EQ(agent.Claim().held, 5u) << "nor promised";
  EXPECT_EQ(agent.Offer(MakeKey(9)->id()), "") << "nor handed on";
  for (int look = 0; look < 3; ++look) agent.Judge(table());
  EXPECT_EQ(Shape(agent), "5* 4");
  EXPECT_EQ(agent.generation_seen(), 5u);
  EXPECT_THAT(agent.Take(invented), HasCode("KEY_NOT_IN_STORE"));
  // Once it stands in the store it is a key like any other.
  agent.Judge(Rows({{5, KeyState::kActive}, {9, KeyState::kPrepared}}));
  EXPECT_EQ(Shape(agent), "9 5*");
  EXPECT_TRUE(agent.UseNewer(MakeKey(9)->id()));
}

// With the database away, members' keys are all there is; back again, it has the last word.
TEST_F(KeyAgentTest, WithoutADatabaseMembersAreFollowedUntilItIsBack) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{5, KeyState::kActive}}));
  agent.NoteTrouble(CodedError(absl::StatusCode::kUnavailable, "DB_REFUSED", "away"));
  SOTTO_ASSERT_OK(agent.Take(*WrapKey(*MakeKey(6), *MakeKek(3))));
  EXPECT_TRUE(agent.UseNewer(MakeKey(6)->id()));
  EXPECT_EQ(Shape(agent), "6* 5");
  EXPECT_EQ(agent.Claim().held, 6u);
  EXPECT_NE(agent.Offer(MakeKey(6)->id()), "");
  EXPECT_EQ(agent.generation_seen(), 5u);
  KeyAgent follows = Agent();
  follows.Judge(Rows({{5, KeyState::kActive}}));
  agent.Judge(Rows({{5, KeyState::kRetired}, {6, KeyState::kActive}}));
  EXPECT_EQ(Shape(agent), "6* 5");
  EXPECT_EQ(agent.generation_seen(), 6u);
  // It was an invented one.
  follows.NoteTrouble(CodedError(absl::StatusCode::kUnavailable, "DB_REFUSED", "away"));
  SOTTO_ASSERT_OK(follows.Take(*WrapKey(*MakeKey(6), *MakeKek(3))));
  EXPECT_TRUE(follows.UseNewer(MakeKey(6)->id()));
  for (int look = 0; look < 3; ++look) follows.Judge(Rows({{5, KeyState::kActive}}));
  EXPECT_EQ(Shape(follows), "5*");
}

// A store that has moved knows less than the members do.
TEST_F(KeyAgentTest, AStoreThatHasMovedIsToldAndMembersAreFollowed) {
  KeyAgent agent = Agent();
  const auto moved = [this] {
    KeyRows rows = Rows({{5, KeyState::kActive}});
    rows.moved_to = "postgres://db";
    return rows;
  };
  EXPECT_THAT(agent.Judge(moved()).status, HasCode("STORE_MOVED"));
  SOTTO_ASSERT_OK(agent.Take(*WrapKey(*MakeKey(6), *MakeKek(3))));
  EXPECT_TRUE(agent.UseNewer(MakeKey(6)->id()));
  for (int look = 0; look < 5; ++look) agent.Judge(moved());
  EXPECT_EQ(Shape(agent), "6* 5");
}

// The first key of a cluster is wrapped as generation 1; leaked, it is put back into Systems.
TEST_F(KeyAgentTest, ARemovedKeyInSystemsIsNotTakenForNewWithoutItsRow) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{1, KeyState::kRemoved}, {2, KeyState::kActive}}));
  KeyRows rows = Rows({{2, KeyState::kActive}});
  rows.value = *WrapKey(*MakeKey(1), *MakeKek(3));
  const KeyLook look = agent.Judge(std::move(rows));
  EXPECT_THAT(look.status, HasCode("KEY_RETURNS"));
  EXPECT_FALSE(look.external);
}

// A ring that is too full is not pretended.
TEST_F(KeyAgentTest, WhatDoesNotFitChangesNothing) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{1, KeyState::kActive}}));
  const KeyLook look = agent.Judge(Rows({{1, KeyState::kActive},
                                         {2, KeyState::kPrepared},
                                         {3, KeyState::kPrepared},
                                         {4, KeyState::kPrepared},
                                         {5, KeyState::kPrepared}}));
  EXPECT_THAT(look.status, HasCode("KEY_RING_FULL"));
  EXPECT_FALSE(look.ring_changed);
  EXPECT_EQ(Shape(agent), "1*");
  EXPECT_EQ(agent.Ack(kNow).held, 1u);
}

// A damaged value of the ACTIVE key is told, and the Systems row has it a second time.
TEST_F(KeyAgentTest, TheMirrorServesWhereTheTablesValueIsDamaged) {
  KeyRows rows = Rows({{1, KeyState::kActive}});
  rows.keys[0].value = "zzz";
  KeyAgent agent = Agent();
  const KeyLook look = agent.Judge(std::move(rows));
  EXPECT_FALSE(look.status.ok());
  EXPECT_THAT(std::string(look.status.message()), HasSubstr("ClusterKeys, generation 1"));
  EXPECT_EQ(Shape(agent), "1*");
}

TEST_F(KeyAgentTest, WhatIsWrongWithTheTableLeavesTheRing) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{1, KeyState::kActive}}));
  const auto expect = [&](KeyRows rows, const char* code) {
    const KeyLook look = agent.Judge(std::move(rows));
    EXPECT_THAT(look.status, HasCode(code));
    EXPECT_EQ(Shape(agent), "1*") << code;
    EXPECT_EQ(agent.Ack(kNow).trouble, code);
  };
  expect(Rows({}), "KEY_TABLE_EMPTY");
  expect(Rows({{1, KeyState::kRetired}}), "KEY_STATE");
  expect(Rows({{1, KeyState::kActive}, {2, KeyState::kActive}}), "KEY_STATE");
  KeyRows moved = Rows({{2, KeyState::kActive}});
  moved.keys[0].value = *KeyRowText(*MakeKey(3), policy_);
  expect(std::move(moved), "KEY_CORRUPT");
  KeyRows plain = Rows({{2, KeyState::kActive}});
  plain.keys[0].value = *KeyRowText(*MakeKey(2), KeyPolicy());
  expect(std::move(plain), "KEY_PLAIN_REFUSED");
  KeyRows strange = Rows({{2, KeyState::kActive}});
  strange.keys[0].value = *WrapKey(*MakeKey(2), *MakeKek(9));
  expect(std::move(strange), "KEK_MISSING");
  for (const char* value : {"", "no base64"}) {
    KeyRows garbage = Rows({{1, KeyState::kActive}});
    garbage.value = value;
    expect(std::move(garbage), *value == 0 ? "KEY_EMPTY" : "KEY_BAD_BASE64");
  }
  KeyRows gone = Rows({{1, KeyState::kActive}});
  gone.row_status = CodedError(absl::StatusCode::kNotFound, "KEY_MISSING", "no row");
  expect(std::move(gone), "KEY_MISSING");
}

TEST_F(KeyAgentTest, OneRowThatDoesNotOpenKeepsNoOtherAway) {
  KeyAgent agent = Agent();
  KeyRows rows = Rows({{1, KeyState::kRetired}, {2, KeyState::kActive}, {3, KeyState::kPrepared}});
  rows.keys[2].value = *WrapKey(*MakeKey(3), *MakeKek(9));
  SOTTO_EXPECT_OK(agent.Judge(std::move(rows)).status);
  EXPECT_EQ(Shape(agent), "2* 1");
  EXPECT_EQ(agent.Ack(kNow).held, 2u) << "what does not open is not acknowledged";
  EXPECT_EQ(agent.Ack(kNow).trouble, "KEK_MISSING");
}

TEST_F(KeyAgentTest, TwoKeysOfOneIdAreRefused) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{1, KeyState::kActive}}));
  KeyRows rows = Rows({{1, KeyState::kRetired}, {2, KeyState::kActive}});
  rows.keys[1].id = rows.keys[0].id;
  EXPECT_THAT(agent.Judge(std::move(rows)).status, HasCode("KEY_CORRUPT"));
  EXPECT_EQ(Shape(agent), "1*");
}

TEST_F(KeyAgentTest, SeesARawUpdate) {
  KeyAgent agent = Agent();
  KeyRows rows = Rows({{1, KeyState::kActive}});
  rows.value = *KeyRowText(*MakeKey(2), policy_);
  KeyLook look = agent.Judge(std::move(rows));
  SOTTO_EXPECT_OK(look.status);
  EXPECT_TRUE(look.external);
  EXPECT_EQ(Shape(agent), "1*") << "it seals nothing before all hold it";
  // PREPARED by hand, and now written into the row as well: that starts it.
  rows = Rows({{1, KeyState::kActive}, {2, KeyState::kPrepared}});
  rows.value = rows.keys[1].value;
  EXPECT_TRUE(agent.Judge(std::move(rows)).external);
  rows = Rows({{1, KeyState::kActive}, {2, KeyState::kPrepared}});
  rows.keys[1].automatic = true;
  rows.value = rows.keys[1].value;
  EXPECT_FALSE(agent.Judge(std::move(rows)).external) << "known already";
}

TEST_F(KeyAgentTest, HandsOverOnlyWhatIsWrappedAndNotOlder) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{1, KeyState::kRetired}, {2, KeyState::kActive}, {3, KeyState::kPrepared}}));
  EXPECT_THAT(agent.Offer(MakeKey(1)->id()), IsEmpty());
  EXPECT_TRUE(IsWrappedKey(agent.Offer(MakeKey(2)->id())));
  EXPECT_TRUE(IsWrappedKey(agent.Offer(MakeKey(3)->id())));
  EXPECT_THAT(agent.Offer(MakeKey(4)->id()), IsEmpty());
  policy_.keks = nullptr;
  KeyAgent plain = Agent();
  plain.Judge(Rows({{1, KeyState::kActive}}));
  EXPECT_EQ(Shape(plain), "1*");
  EXPECT_THAT(plain.Offer(MakeKey(1)->id()), IsEmpty()) << "a plain key never passes";
}

TEST_F(KeyAgentTest, TakesFromAMemberWhatIsNewer) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{2, KeyState::kActive}}));
  EXPECT_THAT(agent.Take(*KeyRowText(*MakeKey(3), KeyPolicy())), HasCode("KEY_PLAIN_REFUSED"));
  EXPECT_THAT(agent.Take(*WrapKey(*MakeKey(3), *MakeKek(9))), HasCode("KEK_MISSING"));
  EXPECT_THAT(agent.Take(*WrapKey(*MakeKey(1), *MakeKek(3))), HasCode("KEY_ROLLBACK"));
  EXPECT_THAT(agent.Take("sottok1:x"), HasCode("KEY_CORRUPT"));
  EXPECT_EQ(Shape(agent), "2*");
  SOTTO_EXPECT_OK(agent.Take(*WrapKey(*MakeKey(3), *MakeKek(3))));
  EXPECT_EQ(Shape(agent), "3 2*");
  // The table may be slower: what a member gave stays.
  agent.Judge(Rows({{2, KeyState::kActive}}));
  EXPECT_EQ(Shape(agent), "3 2*");
}

TEST_F(KeyAgentTest, ARingThatIsFullLosesTheOldestRetiredOne) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{1, KeyState::kRetired},
                    {2, KeyState::kRetired},
                    {3, KeyState::kRetired},
                    {4, KeyState::kActive}}));
  SOTTO_EXPECT_OK(agent.Take(*WrapKey(*MakeKey(5), *MakeKek(3))));
  EXPECT_EQ(Shape(agent), "5 4* 3 2");
  for (const uint64_t generation : {6, 7}) {
    SOTTO_EXPECT_OK(agent.Take(*WrapKey(*MakeKey(generation), *MakeKek(3))));
  }
  EXPECT_EQ(Shape(agent), "7 6 5 4*");
  EXPECT_THAT(agent.Take(*WrapKey(*MakeKey(8), *MakeKek(3))), HasCode("KEY_RING_FULL"));
  EXPECT_EQ(Shape(agent), "7 6 5 4*");
}

TEST_F(KeyAgentTest, SealsWithWhatAMemberSealsWithIfItIsNewer) {
  KeyAgent agent = Agent();
  agent.Judge(Rows({{1, KeyState::kActive}, {2, KeyState::kPrepared}}));
  EXPECT_FALSE(agent.UseNewer(MakeKey(9)->id()));
  EXPECT_TRUE(agent.UseNewer(MakeKey(2)->id()));
  EXPECT_FALSE(agent.UseNewer(MakeKey(1)->id())) << "never back";
  EXPECT_EQ(Shape(agent), "2* 1");
  // A look that was under way, or a replica that lags.
  agent.Judge(Rows({{1, KeyState::kActive}, {2, KeyState::kPrepared}}));
  EXPECT_EQ(Shape(agent), "2* 1");
  EXPECT_EQ(agent.generation_seen(), 2u);
}

TEST_F(KeyAgentTest, WritesItsRowWhenItSaysSomethingElse) {
  KeyAgent agent = Agent();
  KeyRows rows = Rows({{1, KeyState::kActive}});
  agent.Judge(Rows({{1, KeyState::kActive}}));
  EXPECT_TRUE(agent.NeedsAck(rows, kNow));
  rows.members = {agent.Ack(kNow)};
  EXPECT_FALSE(agent.NeedsAck(rows, kNow + 59'000));
  EXPECT_TRUE(agent.NeedsAck(rows, kNow + 60'000)) << "it lives";
  EXPECT_TRUE(agent.NeedsAck(rows, kNow - 3'600'000)) << "a clock was set back";
  agent.Judge(Rows({{1, KeyState::kActive}, {2, KeyState::kPrepared}}));
  EXPECT_TRUE(agent.NeedsAck(rows, kNow));
}

TEST(KeyClaimTest, SurvivesItsText) {
  KeyClaim claim;
  claim.held = 13;
  claim.held_id = KeyId{0x41d077be};
  claim.sealing = 12;
  claim.sealing_id = KeyId{0x000021aa};
  claim.trouble = "KEK_MISSING";
  claim.key_drops = 7;
  claim.keks = {MakeKek(1)->id(), MakeKek(2)->id()};
  const std::string text = EncodeKeyClaim(claim);
  const auto back = DecodeKeyClaim(text);
  ASSERT_TRUE(back.has_value()) << text;
  EXPECT_EQ(EncodeKeyClaim(*back), text);
  EXPECT_EQ(back->sealing_id, claim.sealing_id);
  EXPECT_EQ(back->keks, claim.keks);
  EXPECT_TRUE(DecodeKeyClaim(EncodeKeyClaim(KeyClaim())).has_value());
}

TEST(KeyClaimTest, TheLongestOneFits) {
  KeyClaim claim;
  claim.held = claim.sealing = claim.key_drops = ~uint64_t{0};
  claim.trouble = std::string(48, 'T');
  claim.keks.assign(33, MakeKek(1)->id());  // one more than is told
  const std::string text = EncodeKeyClaim(claim);
  EXPECT_LE(text.size(), kKeyClaimBytesMax);
  const auto back = DecodeKeyClaim(text);
  ASSERT_TRUE(back.has_value()) << text;
  EXPECT_EQ(back->keks.size(), 32u);
}

TEST(KeyClaimTest, NothingElseIsOne) {
  for (const std::string& text :
       {std::string(), std::string("keys1"), std::string("keys2 1:00000001 1:00000001 0 - -"),
        std::string("keys1 1 1:00000001 0 - -"), std::string("keys1 x:00000001 1:00000001 0 - -"),
        std::string("keys1 1:0000001 1:00000001 0 - -"),
        std::string("keys1 1:00000001 1:00000001 -1 - -"),
        std::string("keys1 1:00000001 1:00000001 0 lower -"),
        std::string("keys1 1:00000001 1:00000001 0 - kek"),
        std::string("keys1 99999999999999999999:00000001 1:00000001 0 - -"),
        "keys1 1:00000001 1:00000001 0 " + std::string(600, 'A') + " -"}) {
    EXPECT_FALSE(DecodeKeyClaim(text).has_value()) << text;
  }
}

TEST(SelfTest, PassesForRealKeys) {
  for (const size_t size : {16, 24, 32}) SOTTO_EXPECT_OK(SelfTestKey(*MakeKey(1, size)));
}

}  // namespace
}  // namespace sotto
