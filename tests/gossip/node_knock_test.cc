// Hints where to knock, between real nodes: a true one joins, a false one costs one failed dial.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gossip/knock_list.h"
#include "tests/gossip/node_fixture.h"

namespace sotto {
namespace {

// Nothing listens on the port of a node that has gone.
std::string DeadAddress(std::unique_ptr<Node> node) {
  return ToString(node->View()->bound.front());
}

TEST_F(NodeTest, AKnockJoinsWhoIsThere) {
  auto a = Start(Options("a"));
  auto b = Start(Options("b"));
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 1 && Alive(*b) == 1; }));
  EXPECT_EQ(b->Knock(Address(*a)), KnockAnswer::kBegun);
  EXPECT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
}

TEST_F(NodeTest, AHintIsTriedBeforeTheFirstWord) {
  auto a = Start(Options("a"));
  NodeOptions options = Options("b");
  options.hints = {DeadAddress(Start(Options("gone"))), Address(*a)};
  auto b = Start(std::move(options));
  EXPECT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
  EXPECT_EQ(b->Stats().syncs_failed, 1u);
}

TEST_F(NodeTest, AFalseHintCostsOneFailedDial) {
  auto a = Start(Options("a"));
  const std::string dead = DeadAddress(Start(Options("gone")));
  EXPECT_EQ(a->Knock(dead), KnockAnswer::kBegun);
  EXPECT_EQ(a->Knock(dead), KnockAnswer::kLater);
  ASSERT_TRUE(Eventually([&] { return a->Stats().syncs_failed == 1; }));
  // Contacts are tried again within retry_max of the profile; this one is not.
  EXPECT_FALSE(Eventually([&] { return a->Stats().syncs_failed > 1; }, milliseconds(3'000)));
  EXPECT_EQ(a->Knock(dead), KnockAnswer::kLater);
  EXPECT_EQ(Alive(*a), 1u);
  EXPECT_TRUE(a->View()->standing.announced);
}

TEST_F(NodeTest, OwnAddressAndForeignClustersComeToNothing) {
  auto a = Start(Options("a"));
  auto other = CreateAuthority(kCluster, SigningKeyKind::kP256, now_ - 3'600);
  ASSERT_TRUE(other.ok());
  NodeOptions options = Options("b");
  options.tls = Certificate("b", *other);
  options.tls.ca_pem = other->certificate_pem;
  auto foreign = Start(std::move(options));
  EXPECT_EQ(a->Knock(Address(*a)), KnockAnswer::kBegun);
  EXPECT_EQ(a->Knock(Address(*foreign)), KnockAnswer::kBegun);
  ASSERT_TRUE(Eventually([&] { return a->Stats().syncs_failed == 1; }));
  EXPECT_TRUE(Eventually([&] { return a->Stats().tls_dialed == 2; }));
  EXPECT_EQ(Alive(*a), 1u);
  EXPECT_FALSE(a->View()->standing.name_conflict);
}

TEST_F(NodeTest, JunkIsBounded) {
  auto a = Start(Options("a"));
  for (const std::string junk : {"", "gw-1", "10.0.3.1", "10.0.3.1:0x1", ":7950", "gw-1:70000"}) {
    EXPECT_EQ(a->Knock(junk), KnockAnswer::kInvalid) << junk;
  }
  int begun = 0;
  for (int i = 0; i < 10'000; ++i) {
    begun += a->Knock(absl::StrCat("127.0.0.1:", 1 + i % 60)) == KnockAnswer::kBegun;
  }
  EXPECT_GE(begun, 1);
  EXPECT_LE(begun, 3 * KnockList::kBurst);  // the loop takes far less than half a minute
  EXPECT_TRUE(a->IsResponsive(seconds(10)));
}

TEST_F(NodeTest, WhoHasLeftKnocksNowhere) {
  auto a = Start(Options("a"));
  auto b = Start(Options("b"));
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 1 && Alive(*b) == 1; }));
  ASSERT_TRUE(a->Leave(seconds(5)).ok());
  EXPECT_EQ(a->Knock(Address(*b)), KnockAnswer::kSilent);
  EXPECT_EQ(a->Stats().tls_dialed, 0u);
}

TEST_F(NodeTest, HintsAreChecked) {
  NodeOptions options = Options("a");
  options.hints = {"nowhere"};
  EXPECT_EQ(ErrorCode(options.Validate()), "ADDRESS_INVALID");
  options.hints.assign(5, "10.0.3.1:7950");
  EXPECT_EQ(ErrorCode(options.Validate()), "OPTIONS_INVALID");
}

}  // namespace
}  // namespace sotto
