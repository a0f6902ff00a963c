// Children end with us, and so does the demo's folder, also when we are killed.
#include "cmd/demo/process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using std::chrono::milliseconds;
namespace fs = std::filesystem;

ChildProcess::Options Shell(const std::string& script, const std::string& output = "") {
  ChildProcess::Options options;
  options.argv = {"/bin/sh", "-c", script};
  options.output = output;
  return options;
}

bool WaitUntil(milliseconds limit, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    poll(nullptr, 0, 5);
  }
  return true;
}

// A process that nobody has reaped yet is gone for our purpose.
bool IsGone(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  const std::string text(std::istreambuf_iterator<char>(stat), {});
  const size_t end = text.rfind(')');
  return text.empty() || (end != std::string::npos && text.substr(end, 3) == ") Z");
}

TEST(ChildProcess, GivesItsExitCodeAndItsOutput) {
  TempDir folder;
  auto child = ChildProcess::Start(Shell("echo out; echo err >&2; exit 7", folder.File("log")));
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ((*child)->Wait(milliseconds(5000)), 7);
  EXPECT_FALSE((*child)->Running());
  std::ifstream log(folder.File("log"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(log), {}), "out\nerr\n");
}

TEST(ChildProcess, TellsTheSignalThatEndedIt) {
  auto child = ChildProcess::Start(Shell("sleep 600"));
  ASSERT_TRUE(child.ok());
  EXPECT_EQ((*child)->Wait(milliseconds(50)), std::nullopt);
  EXPECT_TRUE((*child)->Running());
  (*child)->Signal(SIGTERM);
  EXPECT_EQ((*child)->Wait(milliseconds(5000)), 128 + SIGTERM);
}

TEST(ChildProcess, AProgramThatIsNotThereIs127) {
  ChildProcess::Options options;
  options.argv = {"/no/such/program"};
  auto child = ChildProcess::Start(options);
  ASSERT_TRUE(child.ok());
  EXPECT_EQ((*child)->Wait(milliseconds(5000)), 127);
}

TEST(ChildProcess, DiesWithItsOwner) {
  pid_t pid = 0;
  {
    auto child = ChildProcess::Start(Shell("sleep 600"));
    ASSERT_TRUE(child.ok());
    pid = (*child)->pid();
    EXPECT_FALSE(IsGone(pid));
  }
  EXPECT_TRUE(IsGone(pid));
}

TEST(ChildProcess, SeesNoneOfOurSettings) {
  TempDir folder;
  setenv("SOTTO_NODE__NAME", "leaked", 1);
  auto options = Shell("env", folder.File("log"));
  options.env = {{"GIVEN", "yes"}};
  auto child = ChildProcess::Start(options);
  ASSERT_TRUE(child.ok());
  EXPECT_EQ((*child)->Wait(milliseconds(5000)), 0);
  unsetenv("SOTTO_NODE__NAME");
  std::ifstream log(folder.File("log"));
  const std::string text(std::istreambuf_iterator<char>(log), {});
  EXPECT_EQ(text.find("SOTTO_"), std::string::npos);
  EXPECT_NE(text.find("GIVEN=yes"), std::string::npos);
}

// Runs `life` in a process of its own, waits for its word "ready" and the number behind it, kills
// it.
pid_t KillInTheMiddle(const std::function<pid_t()>& life) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t middle = fork();
  if (middle == 0) {
    close(ends[0]);
    const pid_t said = life();
    (void)!write(ends[1], &said, sizeof(said));
    while (true) pause();
  }
  close(ends[1]);
  pid_t said = 0;
  EXPECT_EQ(read(ends[0], &said, sizeof(said)), static_cast<ssize_t>(sizeof(said)));
  close(ends[0]);
  kill(middle, SIGKILL);
  waitpid(middle, nullptr, 0);
  return said;
}

TEST(ChildProcess, DiesWhenWeAreKilled) {
  std::unique_ptr<ChildProcess> keep;
  const pid_t pid = KillInTheMiddle([&keep] {
    auto child = ChildProcess::Start(Shell("exec sleep 600"));
    if (!child.ok()) return 0;
    keep = std::move(*child);
    return keep->pid();
  });
  ASSERT_GT(pid, 0);
  EXPECT_TRUE(WaitUntil(milliseconds(5000), [pid] { return IsGone(pid); }));
}

TEST(FolderGuard, RemovesTheFolderAtItsEnd) {
  TempDir folder;
  const std::string inner = folder.File("demo");
  fs::create_directories(inner + "/1");
  { FolderGuard guard(inner); }
  EXPECT_FALSE(fs::exists(inner));
}

TEST(FolderGuard, ReleasedItLeavesTheFolder) {
  TempDir folder;
  const std::string inner = folder.File("demo");
  fs::create_directories(inner);
  {
    FolderGuard guard(inner);
    guard.Release();
  }
  EXPECT_TRUE(fs::exists(inner));
}

TEST(FolderGuard, RemovesTheFolderWhenWeAreKilled) {
  TempDir folder;
  const std::string inner = folder.File("demo");
  fs::create_directories(inner + "/1");
  std::unique_ptr<FolderGuard> keep;
  KillInTheMiddle([&] {
    keep = std::make_unique<FolderGuard>(inner);
    return getpid();
  });
  EXPECT_TRUE(WaitUntil(milliseconds(5000), [&] { return !fs::exists(inner); }));
}

}  // namespace
}  // namespace sotto
