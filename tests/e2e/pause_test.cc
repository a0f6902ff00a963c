// A daemon that the machine stops for a while: it comes back, and accuses nobody.
#include <signal.h>

#include "tests/support/daemon_cluster.h"

namespace sotto {
namespace {

class Pause : public DaemonTest {};

TEST_F(Pause, TwentySecondsAreADeathAndAReturn) {
  MakeLab();
  StartNodes(5);
  const auto since = NextEvents();
  lab_->process(2)->Signal(SIGSTOP);
  const auto begin = Lab::Clock::now();
  ASSERT_TRUE(lab_->WaitUntil(Seconds(18), [&] {
    for (const int other : {0, 1, 3, 4}) {
      if (lab_->StatesAt(other)["n3"] != "dead") return false;
    }
    return true;
  })) << Views();
  lab_->WaitUntil(Millis(20'000), [&] { return Lab::Clock::now() - begin >= Millis(20'000); });
  lab_->process(2)->Signal(SIGCONT);
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(10))) << Views();
  ExpectCalm(Seconds(5), NextEvents());
  for (const std::string& said : Said("died", since)) {
    EXPECT_TRUE(said.ends_with(":n3"))
        << said << ": only the one that was stopped may be called dead";
  }
}

TEST_F(Pause, AShortStopIsNoDeath) {
  MakeLab();
  StartNodes(4);
  const auto since = NextEvents();
  lab_->process(1)->Signal(SIGSTOP);
  lab_->WaitUntil(Millis(1200), [] { return false; });
  lab_->process(1)->Signal(SIGCONT);
  EXPECT_TRUE(Holds(Seconds(6), [&] { return Said("died", since).empty(); }))
      << testing::PrintToString(Said("died", since));
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(5))) << Views();
}

}  // namespace
}  // namespace sotto
