// The programs of docs/examples as processes on loopback: what they print, and what they notice.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cmd/demo/process.h"
#include "crypto/authority.h"
#include "store/cluster_key.h"
#include "store/file_rules.h"
#include "store/open_store.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr char kCluster[] = "examples";
constexpr seconds kLimit{60};

// One example at work.
class Program {
 public:
  Program(const std::string& path, std::vector<std::string> arguments, const std::string& output)
      : output_(output) {
    int ends[2];
    EXPECT_EQ(0, pipe2(ends, O_CLOEXEC));
    input_ = ends[1];
    arguments.insert(arguments.begin(), path);
    ChildProcess::Options options;
    options.argv = std::move(arguments);
    options.output = output;
    options.input = ends[0];
    auto child = ChildProcess::Start(options);
    EXPECT_THAT(child, IsOk());
    child_ = *std::move(child);
    close(ends[0]);
  }
  ~Program() { CloseInput(); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void Say(const std::string& line) {
    const std::string text = line + "\n";
    EXPECT_EQ(static_cast<ssize_t>(text.size()), write(input_, text.data(), text.size()));
  }

  void CloseInput() {
    if (input_ >= 0) close(std::exchange(input_, -1));
  }

  void Kill() {
    child_->Signal(SIGKILL);
    EXPECT_EQ(128 + SIGKILL, child_->Wait(kLimit));
  }

  // Ends its input; its exit code.
  int Finish() {
    CloseInput();
    return child_->Wait(kLimit).value_or(-1);
  }

  std::string Output() const {
    std::ifstream file(output_);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  // Waits for `line` among the lines after the first `from` bytes.
  bool Prints(const std::string& line, size_t from = 0) const {
    return Eventually([&] {
      return Output().size() > from &&
             ("\n" + Output().substr(from)).find("\n" + line + "\n") != std::string::npos;
    });
  }

  // The rest of the first complete line that begins so.
  std::string After(const std::string& words) const {
    std::string rest;
    EXPECT_TRUE(Eventually([&] {
      const std::string text = "\n" + Output();
      const size_t at = text.find("\n" + words);
      const size_t end = at == std::string::npos ? at : text.find('\n', at + 1);
      if (end == std::string::npos) return false;
      rest = text.substr(at + 1 + words.size(), end - at - 1 - words.size());
      return true;
    })) << "no \""
        << words << "\" in " << Output();
    return rest;
  }

  // Asks again and again until the answer is `answer`.
  bool Answers(const std::string& question, const std::string& answer) {
    return Eventually([&] {
      const size_t before = Output().size();
      Say(question);
      return Eventually([&] { return Output().size() > before && Output().back() == '\n'; }) &&
             Output().substr(before) == answer + "\n";
    });
  }

 private:
  static bool Eventually(const std::function<bool()>& condition) {
    const auto end = steady_clock::now() + kLimit;
    while (!condition()) {
      if (steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  std::string output_;
  int input_ = -1;
  std::unique_ptr<ChildProcess> child_;
};

class ExamplesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const int64_t now = std::time(nullptr);
    auto authority = CreateAuthority(kCluster, SigningKeyKind::kP256, now - 3'600);
    ASSERT_THAT(authority, IsOk());
    authority_ = *authority;
    auto key = GenerateKeyText();
    ASSERT_THAT(key, IsOk());
    key_ = *key;
  }

  // A folder as docs/library.md lays it out.
  std::string MakeFolder(const std::string& name) const {
    const std::string folder = temp_.File(name);
    IssueRequest request;
    request.identity = {kCluster, CertificateRole::kNode, name};
    request.not_before_unix_s = std::time(nullptr) - 300;
    request.not_after_unix_s = request.not_before_unix_s + 86'400;
    const auto pair = IssueCertificate(authority_, request);
    EXPECT_THAT(pair, IsOk());
    for (const char* sub : {"/pki", "/state"}) EXPECT_THAT(MakeFolders(folder + sub, 0700), IsOk());
    EXPECT_THAT(AtomicWrite(folder + "/pki/ca.crt", authority_.certificate_pem, 0644), IsOk());
    EXPECT_THAT(AtomicWrite(folder + "/pki/node.crt", pair->certificate_pem, 0644), IsOk());
    EXPECT_THAT(AtomicWrite(folder + "/pki/node.key", pair->key_pem, 0600), IsOk());
    auto table = OpenSystemsTable(absl::StrCat("sqlite:", folder, "/state/sotto.db"),
                                  StoreOptions{.create = true});
    EXPECT_THAT(table, IsOk());
    EXPECT_THAT((*table)->InsertIfAbsent(kClusterKeyRow, key_), IsOk());
    return folder;
  }

  std::unique_ptr<Program> Run(const std::string& example, const std::string& name,
                               const std::vector<std::string>& contacts) {
    std::vector<std::string> arguments = {temp_.File(name), "127.0.0.1:0"};
    arguments.insert(arguments.end(), contacts.begin(), contacts.end());
    return std::make_unique<Program>(absl::StrCat("docs/examples/", example), arguments,
                                     temp_.File(absl::StrCat(name, ".", ++runs_)));
  }

  TempDir temp_;
  PemPair authority_;
  std::string key_;
  int runs_ = 0;
};

TEST_F(ExamplesTest, TheWatcherSeesOthersComeGoAndDie) {
  for (const char* name : {"a", "b", "c"}) MakeFolder(name);
  auto a = Run("watcher", "a", {});
  const std::string address = a->After("listening on ");
  EXPECT_TRUE(a->Prints("a is alive")) << a->Output();
  auto b = Run("watcher", "b", {address});
  EXPECT_TRUE(a->Prints("b joined")) << a->Output();
  EXPECT_TRUE(b->Prints("a joined")) << b->Output();
  auto c = Run("watcher", "c", {address});
  EXPECT_TRUE(b->Prints("c joined")) << b->Output();
  EXPECT_EQ(0, b->Finish()) << b->Output();
  EXPECT_TRUE(a->Prints("b left")) << a->Output();
  c->Kill();
  EXPECT_TRUE(a->Prints("c died")) << a->Output();
  // Its boot number has risen, so its former life does not keep it out.
  c = Run("watcher", "c", {address});
  EXPECT_TRUE(a->Prints("c returned")) << a->Output();
  EXPECT_EQ(0, c->Finish()) << c->Output();
  EXPECT_EQ(a->Output().find("b died"), std::string::npos) << a->Output();
}

TEST_F(ExamplesTest, TheWatcherSaysWhatIsMissing) {
  Program watcher("docs/examples/watcher", {temp_.File("nowhere"), "127.0.0.1:0"},
                  temp_.File("log"));
  EXPECT_EQ(1, watcher.Finish());
  EXPECT_EQ(0u, watcher.Output().find("FILE_MISSING: ca: ")) << watcher.Output();
  const std::string folder = MakeFolder("a");
  ASSERT_EQ(0, chmod((folder + "/pki/node.key").c_str(), 0644));
  Program open("docs/examples/watcher", {folder, "127.0.0.1:0"}, temp_.File("log2"));
  EXPECT_EQ(1, open.Finish());
  EXPECT_EQ(0u, open.Output().find("SECRET_READABLE: key: ")) << open.Output();
}

TEST_F(ExamplesTest, OneFolderIsOneNode) {
  MakeFolder("a");
  auto first = Run("watcher", "a", {});
  EXPECT_TRUE(first->Prints("a is alive")) << first->Output();
  auto second = Run("watcher", "a", {});
  EXPECT_EQ(1, second->Finish());
  EXPECT_EQ(0u, second->Output().find("STATE_IN_USE: state: ")) << second->Output();
}

TEST_F(ExamplesTest, TheLowestNameLeadsUntilItIsGone) {
  for (const char* name : {"a", "b", "c"}) MakeFolder(name);
  auto c = Run("leader", "c", {});
  const std::string address = c->After("listening on ");
  EXPECT_TRUE(c->Prints("I lead")) << c->Output();
  auto b = Run("leader", "b", {address});
  EXPECT_TRUE(c->Prints("b leads")) << c->Output();
  EXPECT_TRUE(b->Prints("I lead")) << b->Output();
  auto a = Run("leader", "a", {address});
  EXPECT_TRUE(b->Prints("a leads")) << b->Output();
  EXPECT_TRUE(c->Prints("a leads")) << c->Output();
  const size_t before = b->Output().size();
  a->Kill();
  EXPECT_TRUE(b->Prints("I lead", before)) << b->Output();
  EXPECT_EQ(0, b->Finish()) << b->Output();
  EXPECT_TRUE(c->Prints("I lead", c->Output().rfind("a leads"))) << c->Output();
}

TEST_F(ExamplesTest, TheRegistryListsTheLiving) {
  for (const char* name : {"a", "b", "c"}) MakeFolder(name);
  auto a = Run("registry", "a", {});
  const std::string address = a->After("listening on ");
  auto b = Run("registry", "b", {address});
  auto c = Run("registry", "c", {address});
  EXPECT_TRUE(b->Answers("offer web 10.0.0.2:80", "done")) << b->Output();
  EXPECT_TRUE(c->Answers("offer web 10.0.0.3:80", "done")) << c->Output();
  EXPECT_TRUE(c->Answers("offer mail 10.0.0.3:25", "done")) << c->Output();
  EXPECT_TRUE(a->Answers("list web", "web has 2 b=10.0.0.2:80 c=10.0.0.3:80")) << a->Output();
  EXPECT_TRUE(a->Answers("list mail", "mail has 1 c=10.0.0.3:25")) << a->Output();
  EXPECT_TRUE(a->Answers("list dns", "dns has 0")) << a->Output();
  EXPECT_TRUE(b->Answers("withdraw web", "done")) << b->Output();
  EXPECT_TRUE(a->Answers("list web", "web has 1 c=10.0.0.3:80")) << a->Output();
  // What does not fit changes nothing.
  c->Say("offer big " + std::string(600, 'x'));
  EXPECT_TRUE(c->After("TAGS_INVALID: ").size() > 0) << c->Output();
  EXPECT_TRUE(a->Answers("list mail", "mail has 1 c=10.0.0.3:25")) << a->Output();
  c->Kill();
  EXPECT_TRUE(a->Answers("list web", "web has 0")) << a->Output();
}

}  // namespace
}  // namespace sotto
