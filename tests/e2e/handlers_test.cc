// Programs that real daemons run on events.
#include <signal.h>
#include <sys/stat.h>

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

class Handlers : public DaemonTest {
 protected:
  std::string Script(const std::string& name, const std::string& body) {
    const std::string path = folder_.path() + "/" + name;
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    EXPECT_EQ(chmod(path.c_str(), 0755), 0);
    return path;
  }

  static std::string Table(const std::string& on, const std::string& program) {
    return absl::StrCat("\n[[handler]]\non = [", on, "]\nrun = [\"", program, "\"]\n");
  }

  // Adds a node with handlers, and starts it.
  void StartWith(const std::string& handlers) {
    LabNodeSpec spec;
    spec.more_config = handlers;
    const auto node = lab_->AddNode(spec);
    ASSERT_TRUE(node.ok()) << node.status();
    ASSERT_TRUE(lab_->Start(*node).ok());
  }

  bool WaitForText(const std::string& path, const std::string& text) {
    return lab_->WaitUntil(Seconds(15),
                           [&] { return ReadFile(path).find(text) != std::string::npos; });
  }
};

TEST_F(Handlers, RunOnChangesOfMembers) {
  MakeLab();
  const std::string out = folder_.path() + "/out";
  StartWith(Table("\"member_*\"", Script("hook",
                                         "echo \"$SOTTO_NODE $SOTTO_EVENT $SOTTO_MEMBER "
                                         "$(cat)\" >> " +
                                             out)));
  StartNodes(2);
  EXPECT_TRUE(WaitForText(out, "n1 member_joined n2 {")) << ReadFile(out);
  EXPECT_TRUE(WaitForText(out, "n1 member_joined n3 {")) << ReadFile(out);
  lab_->Kill(2);
  EXPECT_TRUE(WaitForText(out, "n1 member_died n3 {")) << ReadFile(out);
  EXPECT_NE(ReadFile(out).find("\"state\":\"dead\""), std::string::npos);
  EXPECT_EQ(lab_->StatusNumber(0, "members.dead"), 1);
}

TEST_F(Handlers, AProgramEndsWithTheDaemonHoweverThatEnds) {
  MakeLab();
  const std::string pid = folder_.path() + "/pid";
  StartWith(Table("\"member_joined\"", Script("hook", "echo $$ > " + pid + "; exec sleep 1000")));
  StartNodes(1);
  const auto running = [&] {
    const int number = std::atoi(ReadFile(pid).c_str());
    return number > 0 && kill(number, 0) == 0 &&
           ReadFile(absl::StrCat("/proc/", number, "/stat")).find(") Z") == std::string::npos;
  };
  ASSERT_TRUE(lab_->WaitUntil(Seconds(10), running));
  lab_->Kill(0);
  EXPECT_TRUE(lab_->WaitUntil(Seconds(5), [&] { return !running(); }));
  std::ofstream(pid).flush();
  ASSERT_TRUE(lab_->Start(0).ok());
  ASSERT_TRUE(lab_->WaitUntil(Seconds(10), running));
  lab_->process(0)->Signal(SIGTERM);
  EXPECT_EQ(lab_->process(0)->Wait(Seconds(15)), 0);
  EXPECT_FALSE(running());
}

TEST_F(Handlers, AReloadBringsANewOneAndRefusesABadOne) {
  MakeLab();
  StartNodes(2);
  const std::string out = folder_.path() + "/out";
  const std::string config = lab_->File(0, "sottod.toml");
  const std::string hook = Script("hook", "echo $SOTTO_MEMBER >> " + out);
  std::ofstream(config, std::ios::app) << Table("\"member_updated\"", hook);
  ASSERT_EQ(chmod(hook.c_str(), 0777), 0);
  EXPECT_FALSE(lab_->Post(0, "/v1/reload", boost::json::object{}).ok());
  ASSERT_EQ(chmod(hook.c_str(), 0755), 0);
  const auto reloaded = lab_->Post(0, "/v1/reload", boost::json::object{});
  ASSERT_TRUE(reloaded.ok()) << reloaded.status();
  const boost::json::object tags{{"set", boost::json::object{{"role", "standby"}}}};
  ASSERT_TRUE(lab_->Post(1, "/v1/tags", tags).ok());
  EXPECT_TRUE(WaitForText(out, "n2\n"));
}

}  // namespace
}  // namespace sotto
