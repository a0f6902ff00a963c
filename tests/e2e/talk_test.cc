// What real daemons say to each other: events and queries with programs at their ends, and who
// hears whom.
#include <signal.h>
#include <sys/stat.h>

#include <boost/json.hpp>
#include <fstream>
#include <set>
#include <sstream>

#include "cmd/sotto/api_client.h"
#include "tests/support/daemon_cluster.h"

namespace sotto {
namespace {

namespace json = boost::json;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class Talk : public DaemonTest {
 protected:
  std::string Script(const std::string& name, const std::string& body) {
    const std::string path = folder_.path() + "/" + name;
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    EXPECT_EQ(chmod(path.c_str(), 0755), 0);
    return path;
  }

  // Three nodes, each with the same handlers.
  void StartThree(const std::string& handlers) {
    for (int i = 0; i < 3; ++i) {
      LabNodeSpec spec;
      spec.more_config = handlers;
      spec.tags = {{"zone", i == 0 ? "a" : "b"}};
      const auto node = lab_->AddNode(spec);
      ASSERT_TRUE(node.ok()) << node.status();
      ASSERT_TRUE(lab_->Start(*node).ok());
    }
    ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(15))) << Views();
  }

  struct QueryResult {
    std::map<std::string, std::string> answers;
    std::set<std::string> acks;
    json::value summary;
  };
  QueryResult Ask(int node, const json::object& body) {
    QueryResult result;
    const cli::ApiClient client(lab_->File(node, "admin.sock"), 5);
    cli::ApiClient::StreamHandler handler;
    handler.on_event = [&](const cli::StreamEvent& event) {
      const json::value value = json::parse(event.data);
      if (event.event == "summary") {
        result.summary = value.at("data");
        return false;
      }
      const std::string from(value.at("from").as_string());
      if (value.at("ack").as_bool()) {
        result.acks.insert(from);
      } else {
        result.answers[from] = std::string(value.at("payload").as_string());
      }
      return true;
    };
    const absl::Status status = client.PostStream("/v1/query", body, handler);
    EXPECT_TRUE(status.ok()) << status;
    return result;
  }
};

TEST_F(Talk, AnEventRunsTheProgramOnEveryNodeOnce) {
  MakeLab();
  const std::string out = folder_.path() + "/out";
  StartThree(
      "\n[[handler]]\non = [\"user_event:deploy\"]\nrun = [\"" +
      Script("hook", "echo \"$SOTTO_NODE $SOTTO_USER_EVENT from $SOTTO_FROM $(cat)\" >> " + out) +
      "\"]\n");
  const auto sent = lab_->Post(1, "/v1/event", json::object{{"name", "deploy"}, {"payload", "v7"}});
  ASSERT_TRUE(sent.ok()) << sent.status();
  ASSERT_TRUE(lab_->Post(1, "/v1/event", json::object{{"name", "other"}}).ok());
  for (const char* node : {"n1", "n2", "n3"}) {
    EXPECT_TRUE(lab_->WaitUntil(Seconds(10),
                                [&] {
                                  return ReadFile(out).find(absl::StrCat(
                                             node, " deploy from n2 v7\n")) != std::string::npos;
                                }))
        << node << "\n"
        << ReadFile(out);
  }
  // Once each, and the other name not at all.
  EXPECT_TRUE(Holds(Seconds(1), [&] {
    const std::string text = ReadFile(out);
    return std::count(text.begin(), text.end(), '\n') == 3;
  })) << ReadFile(out);
  const auto reserved = lab_->Post(1, "/v1/event", json::object{{"name", "_sotto/x"}});
  EXPECT_FALSE(reserved.ok());
}

TEST_F(Talk, AQueryIsAnsweredByPrograms) {
  MakeLab();
  StartThree("\n[[handler]]\non = [\"query:load\"]\nrun = [\"" +
             Script("hook", "echo \"$SOTTO_NODE: $(cat)\"") + "\"]\n");
  const QueryResult all =
      Ask(0, {{"name", "load"}, {"payload", "now?"}, {"timeout_s", 10 * kSlow}});
  EXPECT_EQ(all.answers, (std::map<std::string, std::string>{
                             {"n1", "n1: now?\n"}, {"n2", "n2: now?\n"}, {"n3", "n3: now?\n"}}));
  EXPECT_EQ(all.summary.at("answered").to_number<int>(), 3);
  EXPECT_FALSE(all.summary.at("timed_out").as_bool()) << "it ends when all have answered";
  const QueryResult some = Ask(1, {{"name", "load"},
                                   {"tags", json::object{{"zone", "b*"}}},
                                   {"names", json::array{"n*"}},
                                   {"timeout_s", 10 * kSlow}});
  EXPECT_EQ(some.answers.size(), 2u);
  EXPECT_FALSE(some.answers.contains("n1"));
  // Nobody has a program for this: all say so at once.
  const QueryResult none = Ask(0, {{"name", "disk"}, {"timeout_s", 10 * kSlow}});
  EXPECT_EQ(none.summary.at("answered").to_number<int>(), 3);
  for (const auto& [from, payload] : none.answers) EXPECT_EQ(payload, "") << from;
}

TEST_F(Talk, ASilentMemberIsNamed) {
  MakeLab();
  StartThree("\n[[handler]]\non = [\"query:load\"]\nrun = [\"" +
             Script("hook", "test $SOTTO_NODE != n3 || exit 1; echo fine") + "\"]\n");
  const QueryResult result = Ask(0, {{"name", "load"}, {"timeout_s", 2 * kSlow}});
  EXPECT_EQ(result.answers.size(), 2u);
  EXPECT_TRUE(result.summary.at("timed_out").as_bool());
  EXPECT_EQ(json::serialize(result.summary.at("silent")), "[]") << "it has heard the question";
  EXPECT_TRUE(result.acks.contains("n3"));
  EXPECT_TRUE(lab_->WaitUntil(Seconds(10), [&] {
    const auto status = lab_->Get(2, "/v1/status");
    return status.ok() && json::serialize(*status).find("HANDLER_TROUBLE") != std::string::npos;
  }));
  lab_->Kill(2);
  const QueryResult dead = Ask(0, {{"name", "load"}, {"timeout_s", 1 * kSlow}});
  EXPECT_EQ(json::serialize(dead.summary.at("silent")), "[\"n3\"]");
}

TEST_F(Talk, PingRoundTripAndEstimate) {
  MakeLab();
  StartThree("");
  const auto ping = lab_->Get(0, "/v1/ping/n2?timeout_s=5");
  ASSERT_TRUE(ping.ok()) << ping.status();
  EXPECT_GT(ping->at("data").at("udp_s").to_number<double>(), 0);
  EXPECT_GT(ping->at("data").at("tcp_s").to_number<double>(), 0);
  EXPECT_FALSE(lab_->Get(0, "/v1/ping/n9").ok());
  EXPECT_TRUE(lab_->WaitUntil(Seconds(15), [&] { return lab_->Get(0, "/v1/rtt?a=n2").ok(); }));
}

TEST_F(Talk, ReachShowsWhoHearsWhomAndACutForWhatItIs) {
  MakeLab();
  StartThree("");
  const auto hears = [&](const std::string& from, const std::string& to, const std::string& how) {
    const auto reach = lab_->Get(0, "/v1/reach?timeout_s=3");
    if (!reach.ok()) return false;
    const auto* rows = reach->at("data").at("rows").if_object();
    const auto* row = rows == nullptr ? nullptr : rows->if_contains(from);
    const auto* cell = row == nullptr ? nullptr : row->as_object().if_contains(to);
    return cell != nullptr && std::string(cell->as_string()) == how;
  };
  for (const char* from : {"n1", "n2", "n3"}) {
    for (const char* to : {"n1", "n2", "n3"}) {
      if (std::string(from) == to) continue;
      EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return hears(from, to, "udp"); }))
          << from << " " << to;
    }
  }
  // UDP between n2 and n3 is lost, TCP passes.
  const RelayFaults no_datagrams{.drop_percent = 100};
  lab_->relay()->SetFaults(1, 2, no_datagrams);
  lab_->relay()->SetFaults(2, 1, no_datagrams);
  // Where n1 answers for n3 before the stream does, the stream is not waited for.
  EXPECT_TRUE(lab_->WaitUntil(
      Seconds(30), [&] { return hears("n2", "n3", "tcp") || hears("n2", "n3", "nothing"); }));
  // A node may ask only so often: this goes on where the last question was refused for that.
  EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return hears("n1", "n2", "udp"); }));
  std::string findings;
  EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] {
    const auto reach = lab_->Get(0, "/v1/reach?timeout_s=3");
    if (reach.ok()) findings = json::serialize(reach->at("data").at("findings"));
    return findings.find("n2 -> n3: ") != std::string::npos;
  })) << findings;
  EXPECT_EQ(findings.find("n1 -> "), std::string::npos) << findings;
}

TEST_F(Talk, WhyAMemberWasSuspectedIsTold) {
  MakeLab();
  StartThree("");
  lab_->process(2)->Signal(SIGSTOP);
  ASSERT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return lab_->StatesAt(0)["n3"] == "dead"; }))
      << Views();
  const auto member = lab_->Get(0, "/v1/members/n3");
  ASSERT_TRUE(member.ok());
  const auto& cases = member->at("data").at("cases").as_array();
  ASSERT_FALSE(cases.empty());
  const json::value& last = cases.back();
  EXPECT_EQ(last.at("end").as_string(), "died");
  ASSERT_FALSE(last.at("accusers").as_array().empty());
  EXPECT_NE(json::serialize(last).find("its ping was not answered"), std::string::npos)
      << json::serialize(last);
  lab_->process(2)->Signal(SIGCONT);
  EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(15))) << Views();
  const auto events = lab_->Get(0, "/v1/events?since=0&limit=1000");
  ASSERT_TRUE(events.ok());
  EXPECT_NE(json::serialize(*events).find("says: its ping was not answered"), std::string::npos);
}

}  // namespace
}  // namespace sotto
