// Daemons that come back without a contact to ask: from the list of peers that they kept.
#include <signal.h>

#include <fstream>
#include <sstream>

#include "tests/support/daemon_cluster.h"

namespace sotto {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class Rejoin : public DaemonTest {
 protected:
  // What the operator never wrote down: from now on this node has no configured contact.
  void TakeContactsAway(int node, const std::string& instead = "") {
    const std::string path = lab_->File(node, "sottod.toml");
    std::string text = ReadFile(path);
    const size_t at = text.find("\njoin");
    ASSERT_NE(at, std::string::npos) << text;
    text.replace(at + 1, text.find('\n', at + 1) - at, instead);
    std::ofstream(path) << text;
  }

  // Until the list holds everybody else.
  bool AllWrittenDown() const {
    return lab_->WaitUntil(Seconds(10), [&] {
      for (const int node : All()) {
        const std::string peers = ReadFile(lab_->File(node, "state") + "/peers");
        for (const int other : All()) {
          if (other != node && peers.find("peer " + lab_->name(other) + " ") == std::string::npos) {
            return false;
          }
        }
      }
      return true;
    });
  }
};

TEST_F(Rejoin, AWholeClusterThatWasKilledFindsItself) {
  MakeLab();
  StartNodes(3);
  ASSERT_TRUE(AllWrittenDown());
  for (const int node : All()) lab_->Kill(node);
  for (const int node : All()) {
    TakeContactsAway(node);
    ASSERT_TRUE(lab_->Start(node).ok());
  }
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(15))) << Views();
}

TEST_F(Rejoin, AWholeClusterThatWasStoppedFindsItself) {
  MakeLab();
  StartNodes(3);
  ASSERT_TRUE(AllWrittenDown());
  for (const int node : All()) lab_->process(node)->Signal(SIGTERM);
  for (const int node : All()) EXPECT_EQ(lab_->process(node)->Wait(Seconds(10)), 0);
  for (const int node : All()) {
    TakeContactsAway(node);
    ASSERT_TRUE(lab_->Start(node).ok());
  }
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(15))) << Views();
}

TEST_F(Rejoin, ANodeThatWasTakenOutStaysOutUntilItIsToldOtherwise) {
  MakeLab();
  StartNodes(3);
  ASSERT_TRUE(AllWrittenDown());
  ASSERT_TRUE(lab_->Post(2, "/v1/leave", boost::json::object{{"timeout_s", 5}}).ok());
  ASSERT_EQ(lab_->process(2)->Wait(Seconds(8)), 0);
  TakeContactsAway(2);
  ASSERT_TRUE(lab_->Start(2).ok());
  EXPECT_TRUE(Holds(Seconds(3), [&] { return lab_->StatesAt(0)[lab_->name(2)] == "left"; }))
      << Views();
  EXPECT_NE(lab_->LogOf(2).find("not_rejoining"), std::string::npos);
  lab_->Kill(2);
  std::string text = ReadFile(lab_->File(2, "sottod.toml"));
  text.replace(text.find("[gossip]\n"), 9, "[gossip]\nrejoin_after_leave = true\n");
  std::ofstream(lab_->File(2, "sottod.toml")) << text;
  ASSERT_TRUE(lab_->Start(2).ok());
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(15))) << Views();
}

TEST_F(Rejoin, ADamagedListIsToldAndWhatIsLeftIsUsed) {
  MakeLab();
  StartNodes(3);
  ASSERT_TRUE(AllWrittenDown());
  lab_->Kill(2);
  const std::string path = lab_->File(2, "state") + "/peers";
  std::string text = ReadFile(path);
  const size_t first = text.find("peer n1 ");
  text.replace(first, text.find('\n', first) - first, "peer n1 \xff\x01 ????");
  std::ofstream(path) << text;
  TakeContactsAway(2);
  ASSERT_TRUE(lab_->Start(2).ok());
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(15))) << Views();
  EXPECT_NE(lab_->LogOf(2).find("PEERS_DAMAGED"), std::string::npos);
}

}  // namespace
}  // namespace sotto
