// The keeper of known peers: what it writes from the node's pictures, and whom a start dials.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cmd/sottod/peer_keeper.h"
#include "gossip/contacts.h"
#include "gossip/endpoint_text.h"
#include "tests/cmd/fake_backend.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class PeerKeeperTest : public testing::Test {
 protected:
  std::unique_ptr<PeerKeeper> Keep() {
    return std::make_unique<PeerKeeper>(Book(), nullptr, std::chrono::milliseconds(0));
  }
  std::unique_ptr<PeerBook> Book() const {
    return std::make_unique<PeerBook>(folder_.path(), "edge-prod", "gw-1");
  }
  // gw-1 (self), gw-2 alive, gw-3 suspect, gw-4 forgotten, gw-5 dead.
  static std::shared_ptr<const NodeView> View() { return MakeSnapshot().view; }
  static std::shared_ptr<const NodeView> ViewWith(MemberState gw_2) {
    return WithView(MakeSnapshot(), [&](NodeView& view) { view.members[1].state = gw_2; }).view;
  }
  std::set<std::string> Names() const {
    std::set<std::string> out;
    for (const KnownPeer& peer : Book()->Peers()) out.insert(peer.name);
    return out;
  }

  TempDir folder_;
};

TEST_F(PeerKeeperTest, KeepsTheLivingAndTheDeadAndDropsWhoHasGone) {
  Keep()->Note(View());
  EXPECT_THAT(Names(), UnorderedElementsAre("gw-2", "gw-3", "gw-5"));
  Keep()->Note(ViewWith(MemberState::kLeft));
  EXPECT_THAT(Names(), UnorderedElementsAre("gw-3", "gw-5"));
  EXPECT_EQ(Book()->Peers().back().name, "gw-5") << "the dead count as seen when they died";
}

TEST_F(PeerKeeperTest, FromItsOwnGoodbyeOnNobodyGoes) {
  const auto keeper = Keep();
  keeper->Note(View());
  keeper->BeginLeave();
  keeper->Note(ViewWith(MemberState::kLeft));
  keeper->MarkLeft(false);  // and saves
  EXPECT_TRUE(Names().contains("gw-2"));
}

TEST_F(PeerKeeperTest, ATakenOutNodeStaysOutUntilItHasCompanyAgain) {
  {
    const auto keeper = Keep();
    keeper->Note(View());
    keeper->MarkLeft(true);
    EXPECT_TRUE(Book()->left()) << "durable at once";
    keeper->Note(View());  // the last pictures of the old life change nothing
  }
  EXPECT_TRUE(Book()->left());
  EXPECT_THAT(ChooseContacts(*Book(), false, 8, 1), IsEmpty());
  EXPECT_EQ(ChooseContacts(*Book(), true, 8, 1).size(), 3u);
  Keep()->Note(WithView(MakeSnapshot(), [](NodeView& view) { view.members.resize(1); }).view);
  EXPECT_TRUE(Book()->left()) << "alone";
  Keep()->Note(View());
  EXPECT_FALSE(Book()->left());
}

TEST(ChooseContacts, TakesHalfByFreshnessAndTheRestByChance) {
  const TempDir dir;
  PeerBook book(dir.path(), "c", "n1");
  for (int i = 10; i < 60; ++i) {
    const std::string number = std::to_string(i);
    book.Set({"m" + number, {*ParseEndpoint("10.0.0." + number + ":7950")}, i});
  }
  const auto one = ChooseContacts(book, false, 4, 1);
  const auto other = ChooseContacts(book, false, 4, 2);
  ASSERT_EQ(one.size(), 4u);
  EXPECT_EQ(one[0], "10.0.0.59:7950");
  EXPECT_EQ(one[1], "10.0.0.58:7950");
  EXPECT_EQ(other[1], one[1]);
  EXPECT_NE(one, other);
  EXPECT_EQ(ChooseContacts(book, false, 4, 1), one);
  EXPECT_EQ(ChooseContacts(book, false, 100, 1).size(), 50u);
}

// A second start holds no more contacts than the first one was allowed.
TEST(AddKnownContacts, LeavesRoomForTheConfigured) {
  const TempDir dir;
  PeerBook book(dir.path(), "c", "n1");
  for (int i = 10; i < 60; ++i) {
    const std::string number = std::to_string(i);
    book.Set({"m" + number, {*ParseEndpoint("10.0.0." + number + ":7950")}, i});
  }
  for (const size_t count : {size_t{0}, size_t{40}, size_t{50}, kContactsMax, kContactsMax + 5}) {
    std::vector<std::string> configured;
    for (size_t i = 0; i < count; ++i) configured.push_back("gw-" + std::to_string(i) + ":7950");
    const auto contacts = AddKnownContacts(configured, book, false, 1);
    EXPECT_EQ(contacts.size(), std::max(count, std::min(kContactsMax, count + kKnownContactsMax)));
    EXPECT_TRUE(std::equal(configured.begin(), configured.end(), contacts.begin()));
  }
  const auto twice = AddKnownContacts({"10.0.0.59:7950"}, book, false, 1);
  EXPECT_EQ(std::count(twice.begin(), twice.end(), "10.0.0.59:7950"), 1);
}

}  // namespace
}  // namespace sotto
