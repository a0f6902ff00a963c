// User events and queries between real nodes: signed, sealed, synced.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "gossip/node.h"
#include "gossip/reach.h"
#include "tests/gossip/node_fixture.h"

namespace sotto {
namespace {

// What one node's application has been told.
class Told {
 public:
  // `answer`: queries are answered with "<name>: <payload>".
  Told(Node& node, bool answer) {
    WatchOptions options;
    options.answers_queries = answer;
    watch_ = node.Watch(
        [this, &node, answer](const WatchItem& item) {
          if (const auto* event = std::get_if<UserEvent>(&item.body)) {
            const std::lock_guard lock(mutex_);
            events_.push_back(*event);
          } else if (const auto* query = std::get_if<ReceivedQuery>(&item.body)) {
            ++asked_;
            // From the callback itself: any method may be called.
            if (answer && !node.Answer(query->id, query->name + ": " + query->payload).ok()) {
              ++failed_;
            }
          }
        },
        options);
  }

  std::vector<UserEvent> events() const {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  int asked() const { return asked_; }
  int failed() const { return failed_; }

 private:
  mutable std::mutex mutex_;
  std::vector<UserEvent> events_;
  std::atomic<int> asked_{0};
  std::atomic<int> failed_{0};
  std::unique_ptr<Node::Subscription> watch_;
};

// What a query came to.
struct Outcome {
  std::mutex mutex;
  std::map<std::string, std::string> answers;
  int acks = 0;
  std::optional<QuerySummary> summary;

  bool done() {
    const std::lock_guard lock(mutex);
    return summary.has_value();
  }
};

std::shared_ptr<Outcome> Ask(Node& node, QueryParams params, absl::Status* status) {
  auto outcome = std::make_shared<Outcome>();
  const auto id = node.Query(
      std::move(params),
      [outcome](const QueryReply& reply) {
        const std::lock_guard lock(outcome->mutex);
        if (reply.is_ack) {
          ++outcome->acks;
        } else {
          outcome->answers[reply.from] = reply.payload;
        }
      },
      [outcome](const QuerySummary& summary) {
        const std::lock_guard lock(outcome->mutex);
        outcome->summary = summary;
      });
  *status = id.status();
  return outcome;
}

class NodeSaidTest : public NodeTest {
 protected:
  std::unique_ptr<Node> Joined(const std::string& name, const Node& contact) {
    NodeOptions options = Options(name);
    options.join = {Address(contact)};
    return Start(std::move(options));
  }
};

TEST_F(NodeSaidTest, AnEventIsToldOnceToEverybodyAndLaterAsHistory) {
  auto a = Start(Options("a"));
  auto b = Joined("b", *a);
  auto c = Joined("c", *a);
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 3 && Alive(*b) == 3 && Alive(*c) == 3; }));
  Told at_a(*a, false), at_b(*b, false), at_c(*c, false);
  // As long as fits: name and payload of 1024 bytes, signed, in one datagram.
  const std::string payload(kUserEventBytesMax - 6, 'x');
  const absl::Status said = b->SendEvent("deploy", payload);
  ASSERT_TRUE(said.ok()) << Describe(said);
  for (const Told* told : {&at_a, &at_b, &at_c}) {
    ASSERT_TRUE(Eventually([&] { return told->events().size() == 1; }));
    EXPECT_EQ(told->events()[0].from, "b");
    EXPECT_EQ(told->events()[0].payload, payload);
    EXPECT_FALSE(told->events()[0].replayed);
  }
  EXPECT_EQ(ErrorCode(b->SendEvent("deploy", payload + "x")), "EVENT_TOO_LARGE");
  EXPECT_EQ(ErrorCode(b->SendEvent("_sotto/deploy", "")), "SAID_NAME_RESERVED");
  EXPECT_EQ(ErrorCode(b->SendEvent("no spaces", "")), "EVENT_INVALID");

  // One that starts later is told by a sync, over TLS.
  auto d = Joined("d", *a);
  Told at_d(*d, false);
  ASSERT_TRUE(Eventually([&] { return Alive(*d) == 4; }));
  EXPECT_TRUE(Eventually([&] { return d->Stats().protocol.events_delivered == 1; }));
  ASSERT_TRUE(c->SendEvent("after", "").ok());
  for (const Told* told : {&at_a, &at_b, &at_c, &at_d}) {
    ASSERT_TRUE(Eventually([&] { return !told->events().empty(); }));
    ASSERT_TRUE(Eventually([&] { return told->events().back().name == "after"; }));
    EXPECT_FALSE(told->events().back().replayed);
  }
  for (const Told* told : {&at_a, &at_b, &at_c}) EXPECT_EQ(told->events().size(), 2u);
  for (const UserEvent& event : at_d.events()) EXPECT_EQ(event.replayed, event.name == "deploy");
}

TEST_F(NodeSaidTest, TheRateOfANodeIsBounded) {
  auto a = Start(Options("a"));
  ASSERT_TRUE(Eventually([&] { return a->View()->standing.announced; }));
  absl::Status status;
  int said = 0;
  while (status.ok() && said < 100) {
    status = a->SendEvent("e", std::to_string(said));
    said += status.ok();
  }
  EXPECT_EQ(ErrorCode(status), "EVENT_RATE_LIMITED");
  EXPECT_GE(said, 16);
  EXPECT_LT(said, 50);
}

TEST_F(NodeSaidTest, AQueryEndsWhenAllHaveAnswered) {
  auto a = Start(Options("a"));
  auto b = Joined("b", *a);
  auto c = Joined("c", *a);
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 3 && Alive(*b) == 3 && Alive(*c) == 3; }));
  Told at_a(*a, true), at_b(*b, true);  // c has no application that answers
  QueryParams params;
  params.name = "load";
  params.payload = "now";
  params.timeout = seconds(60);
  params.relays = 1;
  absl::Status status;
  const auto begun = steady_clock::now();
  const auto outcome = Ask(*a, params, &status);
  ASSERT_TRUE(status.ok()) << Describe(status);
  ASSERT_TRUE(Eventually([&] { return outcome->done(); }));
  EXPECT_LT(steady_clock::now() - begun, seconds(30)) << "long before its timeout";
  EXPECT_EQ(outcome->summary->expected, 3u);
  EXPECT_EQ(outcome->summary->answered, 3u);
  EXPECT_FALSE(outcome->summary->timed_out);
  EXPECT_EQ(outcome->answers["a"], "load: now");
  EXPECT_EQ(outcome->answers["b"], "load: now");
  EXPECT_EQ(outcome->answers["c"], "");
  EXPECT_EQ(at_b.asked(), 1);
  EXPECT_EQ(at_b.failed(), 0);

  // Only those whose tags match.
  ASSERT_TRUE(b->SetTags({{"role", "gateway"}}).ok());
  ASSERT_TRUE(Eventually([&] {
    const auto view = a->View();
    return std::any_of(view->members.begin(), view->members.end(),
                       [](const MemberInfo& m) { return !m.claims->tags.empty(); });
  }));
  params.filter.tags = {{"role", "gate*"}};
  const auto filtered = Ask(*a, params, &status);
  ASSERT_TRUE(status.ok()) << Describe(status);
  ASSERT_TRUE(Eventually([&] { return filtered->done(); }));
  EXPECT_EQ(filtered->answers.size(), 1u);
  EXPECT_EQ(filtered->summary->expected, 1u);
  EXPECT_EQ(ErrorCode(a->Answer(QueryId{}, "nobody asked")), "QUERY_UNKNOWN");
  params.filter.names = {"[a-z]+"};
  Ask(*a, params, &status);
  EXPECT_EQ(ErrorCode(status), "QUERY_INVALID");
}

TEST_F(NodeSaidTest, ReachIsAnsweredByTheNodesThemselves) {
  auto a = Start(Options("a"));
  auto b = Joined("b", *a);
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
  ASSERT_TRUE(Eventually([&] { return b->Stats().protocol.probes >= 3; }));
  QueryParams params;
  params.name = "_sotto/reach";
  params.timeout = seconds(60);
  absl::Status status;
  const auto outcome = Ask(*a, params, &status);
  ASSERT_TRUE(status.ok()) << Describe(status);
  ASSERT_TRUE(Eventually([&] { return outcome->done(); }));
  const std::vector<std::string> names = {"a", "b"};
  const auto reach = DecodeReach(outcome->answers["b"], names);
  ASSERT_TRUE(reach);
  EXPECT_EQ(*reach, (std::vector<Reach>{Reach::kDatagram, Reach::kDatagram}));
  params.name = "_sotto/anything";
  Ask(*a, params, &status);
  EXPECT_EQ(ErrorCode(status), "SAID_NAME_RESERVED");
}

}  // namespace
}  // namespace sotto
