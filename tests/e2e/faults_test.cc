// Daemons as shipped (the lan profile), on six hosts whose network fails as networks do: nobody who
// can be reached is called dead, by anybody, and what is wrong is said where it is wrong.
//
// tools/bench/faults plays the same faults against serf; docs/faults.md has the figures of both.
#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cmd/demo/process.h"
#include "tests/support/daemon_cluster.h"
#include "tests/support/host_network.h"
#include "tests/support/side_by_side.h"

namespace sotto {
namespace {

using Names = std::vector<std::string>;

constexpr int kNodes = 6;
constexpr int kVictim = 5;  // n6
const std::vector<int> kOthers = {0, 1, 2, 3, 4};

class Faults : public DaemonTest {
 protected:
  void SetUp() override {
    auto network = HostNetwork::Create(IsProcessOfCase() ? kNodes : 0);
    if (absl::IsPermissionDenied(network.status())) {
      GTEST_SKIP() << "hosts of our own take root: " << network.status();
    }
    ASSERT_TRUE(network.ok()) << network.status();
    network_ = std::move(*network);
    if (!IsProcessOfCase()) return;
    LabOptions options;
    options.profile = "lan";
    for (int i = 0; i < kNodes; i++) {
      options.hosts.push_back({network_->ip(i), network_->net_namespace(i)});
    }
    MakeLab(options);
    for (int i = 0; i < kNodes; i++) {
      ASSERT_TRUE(lab_->AddNode({}).ok());
      ASSERT_TRUE(lab_->Start(i).ok());
    }
    // Sixty daemons start at once, on a machine of two cores perhaps.
    ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(40))) << Views();
  }

  // A case: `story` in a process of its own, beside the others.
  static void Play(const std::function<void()>& story) { RunSideBySide(Seconds(240), story); }

  // Changes the network. What is said counts from before it, time from when it is done.
  void Change(const std::function<void()>& change) {
    since_ = NextEvents();
    change();
    began_ = Lab::Clock::now();
  }
  // Waits until so much time has passed since the change.
  void Until(Millis since_change) {
    lab_->WaitUntil(since_change, [&] { return Lab::Clock::now() - began_ >= since_change; });
  }
  struct Expected {
    std::string what;
    Millis limit;  // since the change
    std::function<bool()> condition;
    bool came = false;
  };
  // Waits until each of them has come true, and says when that was.
  void Within(std::vector<Expected> all) {
    const auto passed = [this] {
      return std::chrono::duration_cast<Millis>(Lab::Clock::now() - began_);
    };
    const auto look = [&] {
      bool open = false;
      for (Expected& it : all) {
        if (it.came || passed() > it.limit) continue;
        const auto before = passed();
        it.came = it.condition();
        if (it.came) std::cout << it.what << " after " << before.count() << " ms\n";
        open = open || !it.came;
      }
      return !open;
    };
    lab_->WaitUntil(Seconds(60), look);
    for (const Expected& it : all) {
      EXPECT_TRUE(it.came) << it.what << ": not within " << it.limit.count() << " ms" << Views();
    }
  }

  // Whom anybody has called dead since the change: "n1:n6" is n1 of n6.
  Names Died() const {
    Names out = Said("died", since_);
    std::sort(out.begin(), out.end());
    return out;
  }
  Names DiedAt(const std::vector<int>& observers) const {
    Names out = Died();
    std::erase_if(out, [&](const std::string& said) {
      return std::none_of(observers.begin(), observers.end(),
                          [&](int node) { return said.starts_with(lab_->name(node) + ":"); });
    });
    return out;
  }
  // "n1:n6" for every one of `observers` and every one of `dead`.
  Names EachOf(const std::vector<int>& observers, const std::vector<int>& dead) const {
    Names out;
    for (const int from : observers) {
      for (const int to : dead) out.push_back(absl::StrCat(lab_->name(from), ":", lab_->name(to)));
    }
    return out;
  }
  bool Buried(const std::vector<int>& observers, const std::vector<int>& dead) const {
    return std::all_of(observers.begin(), observers.end(), [&](int observer) {
      auto states = lab_->StatesAt(observer);
      return std::all_of(dead.begin(), dead.end(),
                         [&](int node) { return states[lab_->name(node)] == "dead"; });
    });
  }
  // Whether `node` has this health, and a note with this code among its reasons.
  bool HasNote(int node, std::string_view health, std::string_view code) const {
    const auto status = lab_->Get(node, "/v1/status");
    if (!status.ok()) return false;
    const auto& data = status->at("data").as_object();
    const auto& notes = data.at("notes").as_array();
    return std::string_view(data.at("health").as_string()) == health &&
           std::any_of(notes.begin(), notes.end(), [&](const boost::json::value& note) {
             return std::string_view(note.at("code").as_string()) == code;
           });
  }
  // In its health and its standing.
  bool SaysIsolated(int node) const {
    const auto status = lab_->Get(node, "/v1/status");
    return status.ok() && status->at("data").at("standing").at("isolated").as_bool() &&
           HasNote(node, "critical", "ISOLATED");
  }
  bool HasSaid(int node, const std::string& word) const {
    const Names said = Said(word, since_);
    return std::any_of(said.begin(), said.end(), [&](const std::string& it) {
      return it.starts_with(lab_->name(node) + ":");
    });
  }

  // In status, health and events.
  Expected VictimSaysIsolated(Millis limit) {
    return {"the victim says ISOLATED", limit,
            [this] { return SaysIsolated(kVictim) && HasSaid(kVictim, "isolated"); }};
  }
  Expected VictimSaysSendsRefused() {
    return {"the victim says SENDS_REFUSED", Seconds(10), [this] {
              return HasNote(kVictim, "warning", "SENDS_REFUSED") &&
                     HasSaid(kVictim, "sends_refused");
            }};
  }
  Expected OthersBuryTheVictim() {
    return {"the victim is dead to all others", Seconds(20),
            [this] { return Buried(kOthers, {kVictim}); }};
  }
  // The fault took packets at each of these hosts: it was there.
  void ExpectTaken(const std::vector<int>& hosts) const {
    for (const int host : hosts) EXPECT_GT(network_->Taken(host), 10) << lab_->name(host);
  }
  // All see all soon, and nobody is called dead for a while.
  void HealAndAgree() {
    Change([this] { network_->Heal(); });
    Within({{"healed: all see all", Seconds(8), [&] { return lab_->AllAgree(All(), All()); }}});
    ExpectCalm(Seconds(4), since_);
    EXPECT_FALSE(SaysIsolated(kVictim));
  }
  void CountSuspicions() const {
    std::cout << Said("suspected", since_).size() << " suspicions seen, "
              << Said("refuted", since_).size() << " refuted, " << Said("returned", since_).size()
              << " returns\n";
  }

  FolderGuard guard_{folder_.path()};
  std::unique_ptr<HostNetwork> network_;
  std::vector<int64_t> since_;
  Lab::Clock::time_point began_;
};

TEST_F(Faults, RefusedDatagramsKillNobody) {
  Play([this] {
    Change([this] { network_->RefuseSends(kVictim, HostNetwork::Protocols::kUdp); });
    Within({VictimSaysSendsRefused()});
    Until(Seconds(60));
    ExpectTaken({kVictim});
    EXPECT_GT(lab_->StatusNumber(kVictim, "frames.send_errors"), 10) << "sends must have failed";
    EXPECT_EQ(Died(), Names());
    EXPECT_TRUE(lab_->AllAgree(All(), All())) << "streams keep it alive" << Views();
    CountSuspicions();
    HealAndAgree();
  });
}

TEST_F(Faults, RefusedSendsKillNoInnocent) {
  Play([this] {
    Change([this] { network_->RefuseSends(kVictim, HostNetwork::Protocols::kAll); });
    Within({VictimSaysSendsRefused(), OthersBuryTheVictim()});
    Until(Seconds(60));
    ExpectTaken({kVictim});
    EXPECT_EQ(Died(), EachOf(kOthers, {kVictim}))
        << "each said so once; it blames itself, heard or "
           "not";
    EXPECT_TRUE(HasSaid(kVictim, "isolated"));
    EXPECT_TRUE(lab_->AllAgree(kOthers, kOthers)) << Views();
    CountSuspicions();
    HealAndAgree();
  });
}

TEST_F(Faults, ANodeLinkedToOnePeerKillsNobody) {
  Play([this] {
    Change([this] {
      for (const int other : {0, 1, 2, 3}) {
        network_->CutOneWay(other, kVictim);
        network_->CutOneWay(kVictim, other);
      }
    });
    Until(Seconds(90));
    ExpectTaken({0, 1, 2, 3, kVictim});
    EXPECT_EQ(Died(), Names());
    EXPECT_EQ(Said("returned", since_), Names());
    EXPECT_TRUE(HasSaid(kVictim, "accused")) << "the cut must have been felt";
    CountSuspicions();
    HealAndAgree();
  });
}

TEST_F(Faults, AnIsolatedNodeSaysSo) {
  Play([this] {
    Change([this] { network_->Partition({kOthers, {kVictim}}); });
    Within({VictimSaysIsolated(Seconds(10)), OthersBuryTheVictim()});
    Until(Seconds(60));
    ExpectTaken(All());
    EXPECT_EQ(DiedAt(kOthers), EachOf(kOthers, {kVictim}));
    EXPECT_TRUE(lab_->AllAgree(kOthers, kOthers)) << Views();
    HealAndAgree();
  });
}

TEST_F(Faults, APulledCableIsSaidToo) {
  Play([this] {
    Change([this] { network_->Unplug(kVictim); });
    Within({VictimSaysIsolated(Seconds(10)), OthersBuryTheVictim()});
    Until(Seconds(60));
    EXPECT_EQ(DiedAt(kOthers), EachOf(kOthers, {kVictim}));
    EXPECT_TRUE(lab_->AllAgree(kOthers, kOthers)) << Views();
    HealAndAgree();
  });
}

TEST_F(Faults, ANodeThatHearsNothingKillsNoInnocent) {
  Play([this] {
    Change([this] {
      for (const int other : kOthers) network_->CutOneWay(other, kVictim);
    });
    Within({VictimSaysIsolated(Seconds(10)), OthersBuryTheVictim()});
    Until(Seconds(90));
    ExpectTaken({kVictim});
    EXPECT_EQ(DiedAt(kOthers), EachOf(kOthers, {kVictim}));
    EXPECT_EQ(Said("returned", since_), Names()) << "what it sends must not bring it back";
    EXPECT_TRUE(lab_->AllAgree(kOthers, kOthers)) << Views();
    CountSuspicions();
    HealAndAgree();
  });
}

TEST_F(Faults, ANodeThatIsNotHeardKillsNoInnocent) {
  Play([this] {
    Change([this] {
      for (const int other : kOthers) network_->CutOneWay(kVictim, other);
    });
    // It hears the others until they have given it up, but none of them answers.
    Within({OthersBuryTheVictim(), VictimSaysIsolated(Seconds(10))});
    Until(Seconds(90));
    ExpectTaken(kOthers);
    EXPECT_EQ(DiedAt(kOthers), EachOf(kOthers, {kVictim}));
    EXPECT_TRUE(HasSaid(kVictim, "accused")) << "it is told, and nobody hears its answer";
    EXPECT_TRUE(lab_->AllAgree(kOthers, kOthers)) << Views();
    HealAndAgree();
  });
}

TEST_F(Faults, ThreeDatagramsOfTenLostKillNobody) {
  Play([this] {
    Change([this] { network_->LoseDatagrams(30); });
    Until(Seconds(90));
    ExpectTaken(All());
    EXPECT_EQ(Died(), Names());
    EXPECT_TRUE(lab_->AllAgree(All(), All())) << Views();
    CountSuspicions();
    HealAndAgree();
  });
}

TEST_F(Faults, HalfOfTheDatagramsLostKillNobody) {
  Play([this] {
    Change([this] { network_->LoseDatagrams(50); });
    Until(Seconds(60));
    ExpectTaken(All());
    EXPECT_EQ(Died(), Names());
    CountSuspicions();
    HealAndAgree();
  });
}

TEST_F(Faults, TwoHalvesBuryEachOtherAndHeal) {
  Play([this] {
    const std::vector<int> left = {0, 1, 2}, right = {3, 4, 5};
    Change([&] { network_->Partition({left, right}); });
    Within({{"each half has buried the other", Seconds(40),
             [&] { return Buried(left, right) && Buried(right, left); }}});
    Until(Seconds(60));
    ExpectTaken(All());
    Names expected = EachOf(left, right);
    for (const std::string& said : EachOf(right, left)) expected.push_back(said);
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(Died(), expected) << "each said so once, and of nobody on its own side";
    EXPECT_TRUE(lab_->AllAgree(left, left) && lab_->AllAgree(right, right)) << Views();
    HealAndAgree();
  });
}

}  // namespace
}  // namespace sotto
