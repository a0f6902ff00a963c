// The steps of `sotto keys rotate` against a cluster on paper: in which order, what is waited for,
// what it looks like. The screens stand in golden/rotate.*.txt (sotto_golden_test.cc says how).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "cmd/sotto/context.h"
#include "cmd/sotto/rotation/rotation.h"
#include "cmd/sotto/rotation/rotation_text.h"
#include "cmd/sotto/rotation/rotation_view.h"
#include "gossip/base/coded_error.h"
#include "tests/cmd/rotation_world.h"

namespace sotto::testing {
namespace {

using cli::NodeProgress;
using cli::RotationEnd;
using cli::RotationOrder;
using cli::RotationRecord;
using cli::Step;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Shown {
  RotationRecord record;
  int exit = -1;
  std::string bytes;  // of standard error
  std::string text;   // as it stands in the end, and standard output
};

Shown RunIt(RotationWorld& world, const RotationOrder& order = {},
            const std::string& progress = "plain", int columns = 110) {
  std::istringstream in;
  std::ostringstream out, err;
  cli::Context context({.in = &in,
                        .out = &out,
                        .err = &err,
                        .err_is_terminal = progress == "auto",
                        .columns = columns});
  context.flags().progress = progress;
  context.flags().color = "never";
  Shown shown;
  const auto view = cli::MakeRotationView(context);
  shown.record = cli::Rotation(&world, &world, view.get(), order).Run();
  shown.exit = shown.record.end == RotationEnd::kDone
                   ? 0
                   : context.Fail(cli::RotationComplaint(shown.record, order));
  if (shown.exit == 0) out << cli::DoneText(shown.record) << '\n';
  shown.bytes = err.str();
  shown.text =
      PaperScreen(shown.bytes).Text() + out.str() + "exit " + std::to_string(shown.exit) + "\n";
  return shown;
}

void ExpectGolden(const std::string& name, const std::string& text) {
  const char* update = std::getenv("SOTTO_UPDATE_GOLDEN");
  if (update != nullptr) {
    std::ofstream(std::string(update) + "/" + name) << text;
    return;
  }
  std::ifstream file("tests/cmd/golden/" + name);
  std::stringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(text, golden.str()) << name;
}

absl::Status Unavailable(const char* code) {
  return CodedError(absl::StatusCode::kUnavailable, code, "it is away");
}

absl::Status Refused(const char* code, const std::string& message) {
  return CodedError(absl::StatusCode::kFailedPrecondition, code, message);
}

// gw-3 takes it late, gw-6 is dead.
void MakeUsual(RotationWorld& world) {
  world.member("gw-2").takes_after = 0.4;
  world.member("gw-3").takes_after = 11;
  world.member("gw-3").trouble = "DB_REFUSED";
  world.member("gw-4").takes_after = 0.4;
  world.member("gw-5").takes_after = 2.1;
  world.member("gw-5").seals_after = 0.9;
  world.member("gw-6").state = "dead";
  world.member("gw-6").takes_after = kNever;
}

TEST(Screens, ARotationWithAnAbsentMember) {
  for (const char* progress : {"auto", "plain", "json", "none"}) {
    RotationWorld world;
    MakeUsual(world);
    const Shown shown = RunIt(world, {}, progress);
    EXPECT_EQ(shown.exit, 0);
    ExpectGolden(std::string("rotate.done.") + progress + ".txt", shown.text);
    // Nothing but the terminal gets escape sequences.
    EXPECT_EQ(shown.bytes.find('\x1b') != std::string::npos, std::string(progress) == "auto");
  }
}

// The block as it stands at a moment, by what had been written until then.
TEST(Screens, TheBlockWhileItWaits) {
  RotationWorld world;
  MakeUsual(world);
  for (int i = 10; i < 60; ++i) {
    PaperMember& more = world.member("node-" + std::to_string(i));
    more.takes_after = i % 7 * 0.1;
  }
  world.At(9, [&] { world.stop = true; });
  std::istringstream in;
  std::ostringstream out, err;
  cli::Context context(
      {.in = &in, .out = &out, .err = &err, .err_is_terminal = true, .columns = 80});
  context.flags().color = "never";
  std::string standing;
  // Looks over the view's shoulder.
  class Watcher final : public cli::RotationView {
   public:
    Watcher(cli::RotationView* view, std::ostringstream* err, std::string* standing)
        : view_(view), err_(err), standing_(standing) {}
    void Begin(const RotationRecord& record) override { view_->Begin(record); }
    void Look(const RotationRecord& record) override {
      view_->Look(record);
      *standing_ = PaperScreen(err_->str()).Text();
    }
    void StepDone(Step step, double seconds, const RotationRecord& record) override {
      view_->StepDone(step, seconds, record);
    }
    void End(const RotationRecord& record) override { view_->End(record); }

   private:
    cli::RotationView* view_;
    std::ostringstream* err_;
    std::string* standing_;
  };
  const auto view = cli::MakeRotationView(context);
  Watcher watcher(view.get(), &err, &standing);
  const RotationRecord record = cli::Rotation(&world, &world, &watcher, {}).Run();
  EXPECT_EQ(record.end, RotationEnd::kInterrupted);
  ExpectGolden("rotate.block.txt", standing);
  std::istringstream lines(standing);
  for (std::string line; std::getline(lines, line);) {
    // The head is not drawn over, and may wrap.
    EXPECT_TRUE(line.size() < 80 || line.rfind("Rotating", 0) == 0) << line;
  }
}

TEST(Screens, AMemberThatDoesNotTakeIt) {
  for (const char* progress : {"auto", "plain", "json"}) {
    RotationWorld world;
    world.members.pop_back();
    world.member("gw-3").takes_after = kNever;
    world.member("gw-3").trouble = "KEK_MISSING";
    const Shown shown = RunIt(world, {}, progress);
    EXPECT_EQ(shown.exit, 3);
    EXPECT_THAT(world.calls, ElementsAre("prepare"));
    ExpectGolden(std::string("rotate.stalled.") + progress + ".txt", shown.text);
  }
}

TEST(Screens, SeveralMembersWithSeveralTroubles) {
  RotationWorld world;
  for (const char* name : {"gw-2", "gw-3", "gw-4", "gw-5"}) world.member(name).takes_after = kNever;
  world.member("gw-2").trouble = world.member("gw-3").trouble = "KEK_MISSING";
  world.member("gw-4").state = "suspect";
  const Shown shown = RunIt(world, {.timeout_s = 5}, "auto");
  EXPECT_EQ(shown.exit, 3);
  ExpectGolden("rotate.troubles.auto.txt", shown.text);
  // A fourth cause has no room.
  world.member("gw-6").takes_after = world.member("gw-7").takes_after = kNever;
  world.member("gw-6").trouble = "DB_REFUSED";
  world.member("gw-7").trouble = "KEY_ROLLBACK";
  const Shown more = RunIt(world, {.timeout_s = 5});
  EXPECT_EQ(more.exit, 3);
  ExpectGolden("rotate.causes.plain.txt", more.text);
  EXPECT_LE(std::count(more.text.begin(), more.text.end(), '\n'), 30);
}

TEST(Screens, AMemberThatDoesNotSeal) {
  for (const char* progress : {"auto", "json"}) {
    RotationWorld world;
    world.member("gw-2").seals_after = kNever;
    const Shown shown = RunIt(world, {.timeout_s = 10}, progress);
    EXPECT_EQ(shown.exit, 3);
    EXPECT_TRUE(shown.record.activated);
    ExpectGolden(std::string("rotate.unsealed.") + progress + ".txt", shown.text);
  }
}

TEST(Screens, AResumedOne) {
  RotationWorld world;
  world.PrepareBefore();
  const Shown shown = RunIt(world, {}, "auto");
  EXPECT_EQ(shown.exit, 0);
  EXPECT_TRUE(shown.record.resumed);
  EXPECT_THAT(world.calls, ElementsAre("prepare", "activate 13"));
  ExpectGolden("rotate.resumed.auto.txt", shown.text);
}

TEST(Screens, OneThatWasStoppedAfterItsActivation) {
  RotationWorld world;
  world.ActivateBefore("2026-11-21T14:00:00.000Z");
  world.member("gw-2").seals_after = 3;
  const Shown shown = RunIt(world, {}, "auto");
  EXPECT_EQ(shown.exit, 0);
  EXPECT_THAT(world.calls, IsEmpty()) << "no key beside that one";
  ExpectGolden("rotate.resumed_late.auto.txt", shown.text);
}

TEST(Screens, ASkippedMember) {
  RotationWorld world;
  world.member("gw-3").takes_after = kNever;
  world.member("gw-3").trouble = "KEK_MISSING";
  const Shown shown = RunIt(world, {.skip = {"gw-3"}, .retire_after_s = 3600}, "auto");
  EXPECT_EQ(shown.exit, 0);
  EXPECT_THAT(world.calls, ElementsAre("prepare", "activate 13 without gw-3 retire 3600"));
  ExpectGolden("rotate.skipped.auto.txt", shown.text);
}

TEST(Screens, AStopByHand) {
  RotationWorld world;
  world.member("gw-3").takes_after = kNever;
  world.At(4, [&] { world.stop = true; });
  const Shown shown = RunIt(world, {}, "auto");
  EXPECT_EQ(shown.exit, 3);
  ExpectGolden("rotate.interrupted.auto.txt", shown.text);
  RotationWorld late;
  late.member("gw-3").seals_after = kNever;
  late.At(4, [&] { late.stop = true; });
  const Shown activated = RunIt(late, {}, "auto");
  EXPECT_EQ(activated.exit, 3);
  ExpectGolden("rotate.interrupted_late.auto.txt", activated.text);
}

TEST(Screens, ADaemonThatGoesAway) {
  RotationWorld world;
  world.member("gw-3").takes_after = kNever;
  world.At(4, [&] { world.Fail("look", Unavailable("DAEMON_GONE"), 100); });
  const Shown shown = RunIt(world, {}, "auto");
  EXPECT_EQ(shown.exit, 3);
  ExpectGolden("rotate.lost.auto.txt", shown.text);
  RotationWorld late;
  late.Fail("activate", Unavailable("DAEMON_GONE"), 100);
  const Shown activating = RunIt(late, {}, "plain");
  EXPECT_EQ(activating.exit, 3);
  EXPECT_THAT(activating.text, HasSubstr("whether generation 13 was activated is not known"));
}

TEST(Screens, Refusals) {
  RotationWorld world;
  world.Fail("prepare", Refused("STORE_NOT_SHARED",
                                "gw-4 and gw-5 live, and have no row in "
                                "sqlite:/var/lib/sotto/sotto.db"));
  const Shown shown = RunIt(world, {}, "auto");
  EXPECT_EQ(shown.exit, 5);
  ExpectGolden("rotate.refused.auto.txt", shown.text);
  RotationWorld needed;
  MakeUsual(needed);
  needed.Fail("remove", Refused("KEY_STILL_NEEDED",
                                "gw-6 seals with nothing newer than generation "
                                "12, as far as its record says"));
  const Shown kept = RunIt(needed, {.now = true}, "auto");
  EXPECT_EQ(kept.exit, 5);
  EXPECT_THAT(needed.calls, ElementsAre("prepare", "activate 13 retire 0", "remove 12"));
  ExpectGolden("rotate.needed.auto.txt", kept.text);
  // Whoever was skipped needs it as well.
  RotationWorld skipped;
  MakeUsual(skipped);
  skipped.member("gw-3").takes_after = kNever;
  skipped.Fail("remove", Refused("KEY_STILL_NEEDED", "two of them"));
  EXPECT_THAT(RunIt(skipped, {.skip = {"gw-3"}, .now = true}, "plain").text,
              HasSubstr("do      bring gw-3 and gw-6 back first, then `sotto keys remove 12`\n"));
}

TEST(Steps, NothingIsActivatedBeforeAllThatLiveHoldIt) {
  RotationWorld world;
  MakeUsual(world);
  std::vector<std::string> before;
  world.At(10.9, [&] { before = world.calls; });
  EXPECT_EQ(RunIt(world).exit, 0);
  EXPECT_THAT(before, ElementsAre("prepare"));
  EXPECT_THAT(world.calls, ElementsAre("prepare", "activate 13"));
  EXPECT_TRUE(world.asked);
}

TEST(Steps, ADaemonThatKnowsNobodyProvesNothing) {
  RotationWorld world;
  world.members.clear();
  const Shown shown = RunIt(world, {.timeout_s = 2});
  EXPECT_EQ(shown.exit, 3);
  EXPECT_THAT(world.calls, ElementsAre("prepare"));
  EXPECT_THAT(shown.text, HasSubstr("no living member is known"));
}

TEST(Steps, WhoeverLeftIsNotWaitedFor) {
  RotationWorld world;
  for (const char* state : {"left", "forgotten", "dead", ""}) {
    PaperMember& gone = world.member(std::string("gone-") + state);
    gone.state = state;
    gone.takes_after = kNever;
  }
  const Shown shown = RunIt(world);
  EXPECT_EQ(shown.exit, 0);
  EXPECT_EQ(shown.record.picture.nodes.size(), 8u) << "the dead one and the unknown one count";
  EXPECT_EQ(shown.record.picture.Of(NodeProgress::Kind::kAbsent).size(), 2u);
  EXPECT_THAT(shown.text, Not(HasSubstr("gone-left")));
}

TEST(Steps, OneThatComesToLifeMeanwhileIsWaitedFor) {
  RotationWorld world;
  MakeUsual(world);
  world.At(5, [&] { world.member("gw-6").state = "alive"; });
  world.At(20, [&] { world.member("gw-6").takes_after = 0; });
  const Shown shown = RunIt(world);
  EXPECT_EQ(shown.exit, 0);
  EXPECT_GT(shown.record.seconds, 20);
  EXPECT_EQ(shown.record.picture.living, 6u);
}

TEST(Steps, OneThatDiesMeanwhileIsNot) {
  RotationWorld world;
  world.member("gw-3").takes_after = kNever;
  world.At(5, [&] { world.member("gw-3").state = "dead"; });
  const Shown shown = RunIt(world);
  EXPECT_EQ(shown.exit, 0);
  EXPECT_LT(shown.record.seconds, 10);
  EXPECT_THAT(shown.text, HasSubstr("gw-3 is absent: it takes generation 13"));
}

TEST(Steps, ARefusalBecauseItIsNotSpreadIsWaitedOut) {
  RotationWorld world;
  world.Fail("activate", Refused("KEY_NOT_SPREAD", "generation 13 is not held by gw-9"), 3);
  EXPECT_EQ(RunIt(world).exit, 0);
  EXPECT_THAT(world.calls,
              ElementsAre("prepare", "activate 13", "activate 13", "activate 13", "activate 13"));
  RotationWorld never;
  never.Fail("activate", Refused("KEY_NOT_SPREAD", "generation 13 is not held by gw-9"), 1000);
  const Shown shown = RunIt(never, {.timeout_s = 5});
  EXPECT_EQ(shown.exit, 3);
  EXPECT_THAT(shown.text, HasSubstr("KEY_SPREAD_STALLED"));
  EXPECT_THAT(shown.text, HasSubstr("is not held by gw-9"));
  EXPECT_THAT(shown.text, HasSubstr("nothing was activated"));
}

TEST(Steps, WhatTheLeaderActivatedIsNotActivatedAgain) {
  RotationWorld world;
  MakeUsual(world);
  world.At(3, [&] { world.DoActivate(); });
  const Shown shown = RunIt(world);
  EXPECT_EQ(shown.exit, 0);
  EXPECT_THAT(world.calls, ElementsAre("prepare"));
}

TEST(Steps, AKeyThatSomebodyGaveUpEndsIt) {
  RotationWorld world;
  MakeUsual(world);
  world.At(3, [&] { world.next = 0; });
  const Shown shown = RunIt(world);
  EXPECT_EQ(shown.exit, 5);
  EXPECT_THAT(shown.text, HasSubstr("refused KEY_STATE: generation 13 waits no longer"));
  // Without its database the daemon sees no prepared key: that is no proof.
  RotationWorld blind;
  MakeUsual(blind);
  blind.At(3, [&] {
    blind.next = 0;
    blind.store_code = "DB_REFUSED";
  });
  blind.At(6, [&] {
    blind.next = 13;
    blind.store_code.clear();
  });
  EXPECT_EQ(RunIt(blind).exit, 0);
}

TEST(Steps, ShortAbsencesOfTheDaemonAreWaitedOut) {
  for (const char* call : {"look", "prepare", "activate"}) {
    RotationWorld world;
    if (std::string(call) == "look") {
      world.At(0.03, [&] { world.Fail("look", Unavailable("DAEMON_GONE"), 5); });
    } else {
      world.Fail(call, Unavailable("DAEMON_UNREACHABLE"), 5);
    }
    EXPECT_EQ(RunIt(world).exit, 0) << call;
  }
  RotationWorld row;
  row.Fail("prepare", Refused("ROW_CHANGED", "another key is taken first"), 3);
  EXPECT_EQ(RunIt(row).exit, 0);
}

TEST(Steps, ADaemonThatIsAwayFromTheStartIsSaidAtOnce) {
  RotationWorld world;
  world.Fail("look", Unavailable("DAEMON_UNREACHABLE"), 100);
  const Shown shown = RunIt(world);
  EXPECT_EQ(shown.exit, 4);
  EXPECT_EQ(world.looks, 1);
  EXPECT_THAT(world.calls, IsEmpty());
}

TEST(Steps, RefusalsAreNotTriedAgain) {
  for (const char* code : {"KEY_RING_FULL", "STORE_MOVED", "KEY_ROLLBACK", "STORE_NOT_SHARED"}) {
    RotationWorld world;
    // As the API's 429 and 409 come through.
    world.Fail("prepare", CodedError(absl::StatusCode::kUnavailable, code, "no"), 2);
    EXPECT_EQ(RunIt(world).exit, 5) << code;
    EXPECT_THAT(world.calls, ElementsAre("prepare"));
  }
}

TEST(Steps, AnAnswerWithoutAGenerationIsNone) {
  RotationWorld world;
  world.active = static_cast<uint64_t>(-1);  // whose next is 0
  EXPECT_EQ(RunIt(world).exit, 1);
  EXPECT_THAT(world.calls, ElementsAre("prepare"));
}

TEST(Steps, OnlyAFreshActivationIsTakenForAnUnfinishedRotation) {
  // gw-2 has lagged behind since yesterday: that is no rotation under way.
  RotationWorld world;
  world.ActivateBefore("2026-11-20T14:00:00.000Z");
  world.member("gw-2").seals_after = kNever;
  RunIt(world, {.timeout_s = 1});
  EXPECT_EQ(world.calls.front(), "prepare");
  // All seal with it: done, so that this is another one.
  RotationWorld done;
  done.ActivateBefore("2026-11-21T14:00:00.000Z");
  RunIt(done, {.timeout_s = 1});
  EXPECT_EQ(done.calls.front(), "prepare");
  // Who is skipped does not keep the next one from beginning.
  RotationWorld skipped;
  skipped.ActivateBefore("2026-11-21T14:00:00.000Z");
  skipped.member("gw-2").seals_after = kNever;
  RunIt(skipped, {.skip = {"gw-2"}, .timeout_s = 1});
  EXPECT_EQ(skipped.calls.front(), "prepare");
  // A key that waits is the one to go on with.
  RotationWorld waits;
  waits.ActivateBefore("2026-11-21T14:00:00.000Z");
  waits.member("gw-2").seals_after = kNever;
  waits.next = 14;
  RunIt(waits, {.timeout_s = 1});
  EXPECT_EQ(waits.calls.front(), "prepare");
}

TEST(Steps, ZeroMeansAsSoonAsNobodyNeedsIt) {
  RotationWorld world;
  EXPECT_THAT(RunIt(world, {.retire_after_s = 0}).text,
              HasSubstr("generation 12 is removed as soon as nobody needs it"));
}

TEST(Steps, TheLineToGoOnWithSaysWhatWasAsked) {
  RotationWorld world;
  world.member("gw-2").takes_after = kNever;
  world.member("gw-3").takes_after = kNever;
  const Shown shown = RunIt(world, {.skip = {"gw-3"}, .timeout_s = 2, .retire_after_s = 60});
  EXPECT_THAT(shown.text, HasSubstr("`sotto keys rotate --skip gw-3 --retire-after 60s` again"));
  EXPECT_THAT(shown.text, HasSubstr("or `sotto keys rotate --skip gw-3 --skip gw-2`"));
}

TEST(Steps, AMistypedNameIsNotSkipped) {
  RotationWorld world;
  const Shown shown = RunIt(world, {.skip = {"gw3"}});
  EXPECT_EQ(shown.exit, 1);
  EXPECT_THAT(shown.text, HasSubstr("MEMBER_UNKNOWN"));
  EXPECT_THAT(shown.text, HasSubstr("did you mean \"gw-3\"?"));
  EXPECT_THAT(world.calls, IsEmpty());
}

TEST(Steps, TheOldKeyGoesAtOnceWhenThatIsAsked) {
  RotationWorld world;
  const Shown shown = RunIt(world, {.now = true});
  EXPECT_EQ(shown.exit, 0);
  EXPECT_TRUE(shown.record.removed);
  EXPECT_THAT(world.calls, ElementsAre("prepare", "activate 13 retire 0", "remove 12"));
  // Not while somebody seals with it.
  RotationWorld slow;
  slow.member("gw-2").seals_after = kNever;
  EXPECT_EQ(RunIt(slow, {.timeout_s = 5, .now = true}).exit, 3);
  EXPECT_THAT(slow.calls, ElementsAre("prepare", "activate 13 retire 0"));
}

TEST(Steps, AStopCountsWhereverItComes) {
  // At the k-th moment, until the rotation is through before it.
  for (int k = 0; k < 1000; ++k) {
    RotationWorld world;
    MakeUsual(world);
    world.At(k * 0.1, [&] { world.stop = true; });
    const Shown shown = RunIt(world);
    if (shown.exit == 0) {
      EXPECT_GT(k, 100);
      return;
    }
    EXPECT_EQ(shown.exit, 3) << k << shown.text;
    EXPECT_EQ(shown.record.end, RotationEnd::kInterrupted) << k;
    EXPECT_THAT(shown.text, HasSubstr("error INTERRUPTED: stopped at ")) << k;
    // What it says is what stands.
    EXPECT_EQ(shown.record.activated, world.active == 13) << k;
    // And the next run brings it to its end, with the same key.
    world.stop = false;
    const Shown again = RunIt(world);
    EXPECT_EQ(again.exit, 0) << k << again.text;
    EXPECT_TRUE(shown.record.activated || world.active == 13) << k;
  }
  FAIL() << "it never comes to its end";
}

TEST(Frames, LostOnesAreTheGrowthOfWhatMembersTell) {
  RotationWorld world;
  MakeUsual(world);
  world.member("gw-1").key_drops = 100;
  world.member("gw-2").key_drops = std::nullopt;
  world.At(4, [&] { world.member("gw-1").key_drops = 103; });
  world.At(8, [&] { world.member("gw-1").key_drops = 2; });  // it was restarted
  const Shown shown = RunIt(world);
  EXPECT_EQ(shown.record.key_drops, 5u);
  EXPECT_EQ(shown.record.key_drops_members, 4u);
  EXPECT_THAT(shown.text, HasSubstr("5 frames dropped for key reasons (4 of 6 tell)"));
  RotationWorld silent;
  for (PaperMember& member : silent.members) member.key_drops = std::nullopt;
  EXPECT_THAT(RunIt(silent).text, HasSubstr("frames dropped for key reasons: no member tells"));
}

TEST(Json, LinesAreJsonAndEndWithTheOutcome) {
  RotationWorld world;
  MakeUsual(world);
  const Shown shown = RunIt(world, {}, "json");
  std::istringstream lines(shown.bytes);
  std::vector<boost::json::value> all;
  for (std::string line; std::getline(lines, line);) all.push_back(boost::json::parse(line));
  ASSERT_GT(all.size(), 8u);
  EXPECT_EQ(all.front().at("step").as_string(), "begin");
  EXPECT_EQ(all.back().at("result").as_string(), "ok");
  const auto gw5 = std::find_if(all.begin(), all.end(), [](const boost::json::value& line) {
    const auto* node = line.as_object().if_contains("node");
    return node != nullptr && node->as_string() == "gw-5" && line.at("result").as_string() == "ok";
  });
  ASSERT_NE(gw5, all.end());
  EXPECT_EQ(gw5->at("step").as_string(), "spread");
  EXPECT_NEAR(gw5->at("seconds").to_number<double>(), 2.3, 0.3);
  const boost::json::object data = cli::RotationJson(shown.record);
  EXPECT_EQ(data.at("to").at("generation").to_number<int>(), 13);
  EXPECT_EQ(data.at("absent").as_array().size(), 1u);
}

TEST(Json, HostileNamesDoNotActOnTheTerminal) {
  RotationWorld world;
  world.member("gw-3").name = "x\x1b[2Jy\n";
  world.member("gw-4").takes_after = kNever;
  world.member("gw-4").trouble = "\x1b[31mEVIL";
  for (const char* progress : {"plain", "json"}) {
    RotationWorld copy = world;
    const Shown shown = RunIt(copy, {.timeout_s = 2}, progress);
    EXPECT_EQ(shown.bytes.find('\x1b'), std::string::npos) << shown.bytes;
  }
  RotationWorld copy = world;
  const std::string bytes = RunIt(copy, {.timeout_s = 2}, "auto").bytes;
  EXPECT_EQ(bytes.find("\x1b[2J"), std::string::npos);
  EXPECT_EQ(bytes.find("\x1b[31m"), std::string::npos);
}

}  // namespace
}  // namespace sotto::testing
