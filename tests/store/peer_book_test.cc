#include "store/peer_book.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "gossip/base/coded_error.h"
#include "gossip/endpoint_text.h"
#include "tests/support/other_user.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

std::string Read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

KnownPeer Peer(const std::string& name, const std::string& address, int64_t seen) {
  return {name, {*ParseEndpoint(address)}, seen};
}

std::string NamesOf(const PeerBook& book) {
  std::string out;
  for (const KnownPeer& peer : book.Peers()) out += (out.empty() ? "" : " ") + peer.name;
  return out;
}

// A book of three, saved.
std::string SaveThree(const TempDir& dir) {
  PeerBook book(dir.path(), "c", "n1");
  book.Set(Peer("n2", "10.0.0.2:7950", 100));
  book.Set(Peer("n3", "[2001:4860::3]:7950", 300));
  book.Set(Peer("n4", "10.0.0.4:7950", 200));
  SOTTO_EXPECT_OK(book.Save());
  return Read(dir.File("peers"));
}

TEST(PeerBook, KeepsWhatItWasTold) {
  const TempDir dir;
  {
    PeerBook fresh(dir.path(), "c", "n1");
    SOTTO_EXPECT_OK(fresh.recovered());
    EXPECT_EQ(NamesOf(fresh), "");
    EXPECT_FALSE(fresh.left());
  }
  SaveThree(dir);
  struct stat info {};
  ASSERT_EQ(stat(dir.File("peers").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  PeerBook book(dir.path(), "c", "n1");
  SOTTO_EXPECT_OK(book.recovered());
  EXPECT_EQ(NamesOf(book), "n3 n4 n2") << "seen most recently first";
  EXPECT_EQ(ToString(book.Peers()[0].addresses[0]), "[2001:4860::3]:7950");
  book.Remove("n4");
  book.set_left(true);
  SOTTO_EXPECT_OK(book.Save());
  PeerBook again(dir.path(), "c", "n1");
  EXPECT_EQ(NamesOf(again), "n3 n2");
  EXPECT_TRUE(again.left());
}

TEST(PeerBook, WritesOnlyWhatHasChanged) {
  const TempDir dir;
  SaveThree(dir);
  PeerBook book(dir.path(), "c", "n1");
  ASSERT_EQ(unlink(dir.File("peers").c_str()), 0);
  SOTTO_EXPECT_OK(book.Save());
  EXPECT_NE(access(dir.File("peers").c_str(), F_OK), 0) << "nothing had changed";
  book.Set(Peer("n5", "10.0.0.5:7950", 400));
  SOTTO_EXPECT_OK(book.Save());
  EXPECT_EQ(access(dir.File("peers").c_str(), F_OK), 0);
}

TEST(PeerBook, HoldsNoMoreThanItsBoundAndDropsTheOldest) {
  const TempDir dir;
  PeerBook book(dir.path(), "c", "n1");
  for (size_t i = 0; i < PeerBook::kPeersMax + 10; ++i) {
    book.Set(Peer("m" + std::to_string(i), "10.0.0.2:7950", static_cast<int64_t>(i)));
  }
  EXPECT_EQ(book.Peers().size(), PeerBook::kPeersMax);
  EXPECT_FALSE(book.Contains("m9"));
  EXPECT_TRUE(book.Contains("m10"));
  SOTTO_EXPECT_OK(book.Save());
  EXPECT_LT(Read(dir.File("peers")).size(), PeerBook::kFileBytesMax);
}

TEST(PeerBook, TakesNeitherItselfNorWhatCannotBeDialled) {
  const TempDir dir;
  PeerBook book(dir.path(), "c", "n1");
  book.Set(Peer("n1", "10.0.0.1:7950", 1));
  book.Set(Peer("n2", "0.0.0.0:7950", 1));
  book.Set(Peer("n 3", "10.0.0.3:7950", 1));
  book.Set({"n4", {}, 1});
  KnownPeer many{"n5", {}, 1};
  for (int i = 1; i < 10; ++i) {
    many.addresses.push_back(*ParseEndpoint("10.0.0." + std::to_string(i) + ":1"));
  }
  book.Set(many);
  EXPECT_EQ(NamesOf(book), "n5");
  EXPECT_EQ(book.Peers()[0].addresses.size(), 4u);
}

// Every prefix and every flipped byte: never a crash, never silence, and nothing but what was
// written comes out of it.
TEST(PeerBook, DamageIsNoticedAndTheRestIsUsed) {
  const std::string whole = SaveThree(TempDir());
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    for (const bool flip : {false, true}) {
      const TempDir dir;
      std::string text = flip ? whole : whole.substr(0, cut);
      if (flip) text[cut] = static_cast<char>(text[cut] ^ 0x01);
      Write(dir.File("peers"), text);
      PeerBook book(dir.path(), "c", "n1");
      EXPECT_FALSE(book.recovered().ok()) << cut << " " << flip;
      EXPECT_EQ(Read(dir.File("peers.corrupt")), text) << "kept for a person to look at";
      EXPECT_LE(book.Peers().size(), 3u);
      SOTTO_EXPECT_OK(book.Save());
      SOTTO_EXPECT_OK(PeerBook(dir.path(), "c", "n1").recovered());
    }
  }
}

TEST(PeerBook, AnEntryThatIsBrokenDoesNotTakeTheOthersAlong) {
  const TempDir dir;
  std::string text = SaveThree(dir);
  text.replace(text.find("10.0.0.2:7950"), 13, "10.0.0.2:79xx");
  Write(dir.File("peers"), text);
  PeerBook book(dir.path(), "c", "n1");
  EXPECT_THAT(book.recovered(), HasCode("PEERS_DAMAGED"));
  EXPECT_THAT(std::string(book.recovered().message()), testing::HasSubstr("2 entries could be"));
  EXPECT_EQ(NamesOf(book), "n3 n4");
}

TEST(PeerBook, AForeignListIsNotUsed) {
  const TempDir dir;
  const std::string text = SaveThree(dir);
  for (const auto& [cluster, name] :
       {std::pair<std::string, std::string>{"other", "n1"}, {"c", "n9"}}) {
    Write(dir.File("peers"), text);
    PeerBook book(dir.path(), cluster, name);
    EXPECT_THAT(book.recovered(), HasCode("PEERS_FOREIGN"));
    EXPECT_EQ(NamesOf(book), "");
    EXPECT_EQ(Read(dir.File("peers.corrupt")), text);
  }
  Write(dir.File("peers"), std::string(PeerBook::kFileBytesMax + 1, 'x'));
  EXPECT_THAT(PeerBook(dir.path(), "c", "n1").recovered(), HasCode("PEERS_DAMAGED"));
}

TEST(PeerBook, WhatCannotBeReadIsNotWrittenOver) {
  const TempDir dir;
  const std::string text = SaveThree(dir);
  ASSERT_EQ(chmod(dir.File("peers").c_str(), 0666), 0);  // anybody may have written it
  PeerBook book(dir.path(), "c", "n1");
  EXPECT_THAT(book.recovered(), HasCode("PEERS_UNREADABLE"));
  EXPECT_EQ(NamesOf(book), "");
  book.Set(Peer("n7", "10.0.0.7:7950", 1));
  EXPECT_THAT(book.Save(), HasCode("PEERS_UNREADABLE"));
  EXPECT_EQ(Read(dir.File("peers")), text);
}

TEST(PeerBook, AFolderThatRefusesIsAnErrorAndNoCrash) {
  const TempDir dir;
  ASSERT_EQ(chmod(dir.path().c_str(), 0555), 0);
  const std::string code = AsOtherUser([&] {
    PeerBook book(dir.path(), "c", "n1");
    book.Set(Peer("n7", "10.0.0.7:7950", 1));
    return ErrorCode(book.Save());
  });
  EXPECT_EQ(code, "PEERS_UNWRITABLE");
  ASSERT_EQ(chmod(dir.path().c_str(), 0700), 0);
}

}  // namespace
}  // namespace sotto
