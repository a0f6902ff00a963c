// A cluster's whole life with its keys, and no secret in anything that it printed, answered, sent
// or passed to a child: logs, output of the tool, API, wire, argv, environment.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "store/kek_source.h"
#include "store/key_table.h"
#include "store/open_store.h"
#include "tests/support/daemon_cluster.h"
#include "tests/support/database_server.h"
#include "tests/support/raw_sqlite.h"
#include "tests/support/secret_search.h"

namespace sotto {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

constexpr char kKek2026[] = "h4yRlpugpaqvtLm+w8jN0tfc4ebr8PX6/wQJDhMYHSI=";
constexpr char kKek2027[] = "gYWKj5SZnqOorbK3vMHGy9DV2t/k6e7zeHx/ERITFBU=";
// What an operator writes into the row by hand: a plain key, and a slip of the pen.
constexpr char kPlain[] = "hYqPlJmeo6itsre8wcbL0NXa3+Tp7vP4";
constexpr char kMistyped[] = "g4iNkpecoaaruLW6v8TJzg= ;-misTyped-";

// What could be read: a file of /proc ends with its process, also in the middle.
std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// Command line and environment of each process below this one, as long as it lives.
class ProcessWatch {
 public:
  ProcessWatch() : thread_([this](const std::stop_token& stop) { Run(stop); }) {}

  // Ends the watch: by program and pid, what the kernel shows of it.
  std::map<std::string, std::string> Take() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
    return std::move(seen_);
  }

 private:
  void Run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      Look();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  void Look() {
    std::map<int, int> parents;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
      const int pid = std::atoi(entry.path().filename().c_str());
      if (pid <= 0) continue;
      const std::string stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
      const size_t end = stat.rfind(')');
      if (end == std::string::npos) continue;
      parents[pid] = std::atoi(stat.c_str() + std::min(end + 4, stat.size()));
    }
    for (const auto& [pid, parent] : parents) {
      int ancestor = parent;
      while (ancestor > 1 && ancestor != getpid()) ancestor = parents[ancestor];
      if (ancestor != getpid()) continue;
      const std::string folder = absl::StrCat("/proc/", pid);
      const std::string words = ReadFile(folder + "/cmdline");
      if (words.empty()) continue;
      const std::string program = fs::path(words.c_str()).filename();
      // The database server's own programs are not ours.
      if (!program.starts_with("sotto") && !absl::StrContains(words, "/hook")) continue;
      seen_[absl::StrCat(program, " ", pid)] = words + "|" + ReadFile(folder + "/environ");
    }
  }

  std::map<std::string, std::string> seen_;
  std::jthread thread_;
};

class RotationSecrecy : public DaemonTest, public testing::WithParamInterface<SqlDialect> {
 protected:
  static constexpr char kCluster[] = "demo";

  void SetUp() override {
    MakeLab();
    ASSERT_EQ(mkdir(folder_.File("keks").c_str(), 0700), 0);
    Secret("keks/2026", kKek2026);
    Secret("keks/2027", kKek2027);
    for (const char* kek : {kKek2026, kKek2027}) AddKey(kek, kek);
    secrets_.AddText("the plain key", kPlain);
    secrets_.AddText("the mistyped key", kMistyped);
    if (GetParam() == SqlDialect::kSqlite) return;
    server_ = DatabaseServer::StartPostgres();
    database_ = server_->NewDatabase();
    Secret("sql.pass", DatabaseServer::kPassword);
    secrets_.AddText("the password", DatabaseServer::kPassword);
  }

  void Secret(const std::string& name, const std::string& text) {
    std::ofstream(folder_.File(name)) << text << "\n";
    ASSERT_EQ(chmod(folder_.File(name).c_str(), 0600), 0);
  }
  void AddKey(const std::string& name, const std::string& base64) {
    std::string raw;
    ASSERT_TRUE(absl::Base64Unescape(base64, &raw));
    secrets_.AddText(name, base64);
    secrets_.AddBytes(name, {reinterpret_cast<const uint8_t*>(raw.data()), raw.size()});
  }

  std::string StoreUrl() const {
    if (server_ == nullptr) return "sqlite:" + folder_.File("s.db");
    return server_->TcpUrl(database_, "localhost", server_->TlsParameters());
  }

  std::string ConfigText(const std::string& kek_active) const {
    std::string text = absl::StrCat("[store]\ncreate = true\npoll = \"200ms\"\n");
    if (server_ != nullptr) {
      absl::StrAppend(&text, "password_file = \"", folder_.File("sql.pass"), "\"\n");
    }
    absl::StrAppend(&text, "[encryption]\nkek = \"folder:", folder_.File("keks"),
                    "\"\nkek_active = \"", kek_active, "\"\n");
    return text;
  }

  void AddNode() {
    LabNodeSpec spec;
    spec.store_url = StoreUrl();
    for (int i = 0; i < lab_->size(); ++i) spec.join.push_back(lab_->advertised(i));
    const std::string hook = folder_.File("hook");
    std::ofstream(hook) << "#!/bin/sh\ncat - /proc/self/environ >> " << folder_.File("heard")
                        << "\nsleep 0.1\n";
    ASSERT_EQ(chmod(hook.c_str(), 0755), 0);
    spec.more_config = "\n[[handler]]\non = [\"member_*\"]\nrun = [\"" + hook + "\"]\n";
    const auto node = lab_->AddNode(spec);
    ASSERT_TRUE(node.ok()) << node.status();
    ASSERT_EQ(mkdir(lab_->File(*node, "conf.d").c_str(), 0755), 0);
    std::ofstream(lab_->File(*node, "conf.d/keys.toml")) << ConfigText("2026");
    // The node's private key, line by line.
    for (const std::string& line :
         std::vector<std::string>(absl::StrSplit(ReadFile(lab_->File(*node, "node.key")), '\n'))) {
      if (line.size() > 30 && line[0] != '-') secrets_.AddText("a private key", line);
    }
  }

  // ---- what is secret ---------------------------------------------------------------------------

  // The keys that the store holds now, opened, and their wrapped values, which are nobody's either.
  void Remember() {
    StoreOptions options;
    if (server_ != nullptr) options = server_->Options();
    const auto keks = LookAtKeks({"folder:" + folder_.File("keks"), "2026"});
    ASSERT_TRUE(keks.ok()) << keks.status();
    KeyPolicy policy;
    policy.keks = *keks;
    auto database = OpenDatabase(StoreUrl(), options);
    ASSERT_TRUE(database.ok()) << database.status();
    KeyTable table(std::move(*database), kCluster);
    const auto rows = table.Read();
    ASSERT_TRUE(rows.ok()) << rows.status();
    for (const KeyRow& row : rows->keys) {
      if (row.value.empty()) continue;
      const auto key = KeyOfRow(row, kCluster, policy);
      ASSERT_TRUE(key.ok()) << key.status();
      const std::string name = absl::StrCat("generation ", row.generation);
      secrets_.AddBytes(name, (*key)->secret().view());
      secrets_.AddText(name + ", wrapped", row.value.substr(row.value.rfind(':') + 1));
      generations_.insert(row.generation);
    }
  }

  // ---- what is said -----------------------------------------------------------------------------

  // Runs the tool on the first node's configuration; its exit code.
  int Tool(std::vector<std::string> words) {
    words.insert(words.begin(), {"cmd/sotto/sotto", "--config", lab_->File(0, "sottod.toml"),
                                 "--target", "unix:" + lab_->File(0, "admin.sock")});
    const std::string path = folder_.File("tool.out");
    unlink(path.c_str());
    auto child = ChildProcess::Start({.argv = words, .output = path});
    EXPECT_TRUE(child.ok()) << child.status();
    const std::optional<int> exit = (*child)->Wait(Seconds(60));
    const std::string said = ReadFile(path);
    EXPECT_TRUE(exit.has_value()) << absl::StrJoin(words, " ");
    absl::StrAppend(&tool_, "$ ", absl::StrJoin(words, " "), "\n", said, "\n");
    last_ = said;
    return exit.value_or(-1);
  }

  void Works(const std::vector<std::string>& words) { EXPECT_EQ(Tool(words), 0) << last_; }
  // It is refused, and for the reason that is meant.
  void Fails(const std::vector<std::string>& words, const std::string& code) {
    EXPECT_NE(Tool(words), 0) << last_;
    EXPECT_TRUE(absl::StrContains(last_, code)) << code << ": " << last_;
  }

  void Write(const std::string& value) {
    const std::string sql =
        "UPDATE Systems SET Value = '" + value + "' WHERE Name = 'ClusterEncryptionKey'";
    if (server_ != nullptr) {
      server_->Session(database_)->Run(sql);
    } else {
      RawSqlite(folder_.File("s.db")).Run(sql);
    }
  }
  bool AwaitCode(const std::string& code) {
    return lab_->WaitUntil(Seconds(20), [&] { return lab_->StatusText(0, "store.code") == code; });
  }

  std::string Answers() {
    std::string all;
    for (const int node : All()) {
      for (const char* path :
           {"/v1/version", "/v1/status", "/v1/members", "/v1/events?since=0&limit=100000",
            "/v1/tags", "/v1/keys?removed=1&ask=1", "/v1/keys/status?ask=1",
            "/v1/keys/history?limit=1000", "/v1/certs", "/v1/reach"}) {
        const auto answer = lab_->Get(node, path);
        EXPECT_TRUE(answer.ok()) << path << ": " << answer.status();
        if (answer.ok()) absl::StrAppend(&all, path, " ", json::serialize(*answer), "\n");
      }
    }
    return all;
  }

  void ExpectNoSecret(const std::string& where, const std::string& text, size_t bytes_min) {
    EXPECT_GE(text.size(), bytes_min) << where << ": too little for a search";
    for (const std::string& name : secrets_.FindIn(text)) {
      ADD_FAILURE() << where << " shows " << name;
    }
  }

  // ---- a cluster's life -------------------------------------------------------------------------

  // A rotation in one, one by its steps, and every look at them.
  void Rotate() {
    Works({"keys", "rotate", "--now"});
    Remember();
    Works({"keys", "prepare"});
    Remember();
    Works({"keys", "status", "--wait", "--timeout", "20"});
    Works({"keys", "activate", "3"});
    Works({"keys", "rotate", "-o", "json", "--progress", "json"});
    Remember();
    for (const char* format : {"table", "wide", "tsv", "json", "jsonl"}) {
      Works({"keys", "ls", "--removed", "-o", format});
      Works({"keys", "status", "-o", format});
      Works({"keys", "history", "-o", format});
      Works({"keys", "verify", "-o", format});
      Works({"kek", "ls", "-o", format});
      Works({"kek", "check", "-o", format});
    }
  }

  // Keys in files, and files that hold none.
  void UseFiles() {
    Works({"keys", "generate", "--to", folder_.File("a.key")});
    AddKey("the generated key",
           std::string(absl::StripAsciiWhitespace(ReadFile(folder_.File("a.key")))));
    Fails({"keys", "import", "--from", folder_.File("a.key")}, "KEY_EXISTS");
    Works({"keys", "import", "--prepared", "--from", folder_.File("a.key")});
    Remember();
    Works({"keys", "rotate"});
    Secret("bad.key", kMistyped);
    Fails({"keys", "import", "--from", folder_.File("bad.key")}, "KEY_BAD_BASE64");
    Fails({"keys", "import", "--prepared", "--from", folder_.File("bad.key")}, "KEY_BAD_BASE64");
    Fails({"kek", "check", "--kek", "file:" + folder_.File("bad.key")}, "KEK_BAD_BASE64");
  }

  // Another key-encryption key, and back, and again.
  void ChangeKek() {
    for (const int node : All()) {
      std::ofstream(lab_->File(node, "conf.d/keys.toml")) << ConfigText("2027");
      ASSERT_TRUE(lab_->Post(node, "/v1/reload", json::object{}).ok());
    }
    Works({"kek", "check"});
    Works({"kek", "rekey", "--backup", folder_.File("kek.backup")});
    Remember();
    Works({"kek", "rekey", "--rollback", folder_.File("kek.backup")});
    Works({"kek", "rekey"});
    Remember();
    Works({"kek", "generate", "--to", folder_.File("keks/2028")});
    AddKey("the generated KEK",
           std::string(absl::StripAsciiWhitespace(ReadFile(folder_.File("keks/2028")))));
  }

  // What stands in the row is told by a code, never by its text.
  void WriteByHand() {
    Write(kPlain);
    EXPECT_TRUE(AwaitCode("KEY_PLAIN_REFUSED")) << lab_->StatusText(0, "store.code");
    Write(kMistyped);
    EXPECT_TRUE(AwaitCode("KEY_BAD_BASE64")) << lab_->StatusText(0, "store.code");
    Fails({"keys", "verify"}, "KEY_BAD_BASE64");
    Fails({"kek", "check"}, "KEY_BAD_BASE64");
    Fails({"config", "check"}, "KEY_BAD_BASE64");
    Works({"keys", "verify", "--repair"});
    std::vector<std::string> copy = {"store",     "copy",  "--from",
                                     StoreUrl(),  "--to",  "sqlite:" + folder_.File("copy.db"),
                                     "--cluster", kCluster};
    if (server_ != nullptr)
      copy.insert(copy.end(), {"--password-file-from", folder_.File("sql.pass")});
    Works(copy);
    Works({"members", "-o", "json"});
    EXPECT_TRUE(AwaitCode("STORE_MOVED")) << lab_->StatusText(0, "store.code");
    Works({"status", "-o", "json"});
  }

  void SearchEverything() {
    EXPECT_GE(generations_.size(), 4u);
    ExpectNoSecret("the tool's output", tool_, 20'000);
    ExpectNoSecret("the API", Answers(), 10'000);
    for (const int node : All()) {
      ExpectNoSecret("the log of " + lab_->name(node), lab_->LogOf(node), 1'000);
      for (const auto& file : fs::recursive_directory_iterator(lab_->File(node, "state"))) {
        if (file.is_regular_file()) ExpectNoSecret(file.path(), ReadFile(file.path()), 0);
      }
    }
    ExpectNoSecret("a handler's input and environment", ReadFile(folder_.File("heard")), 200);
    std::string wire;
    for (const RelayRecord& record : lab_->relay()->TakeRecords()) wire += record.bytes + "|";
    ExpectNoSecret("the wire", wire, 20'000);
  }
  void SearchProcesses(const std::map<std::string, std::string>& seen) {
    std::string processes;
    size_t tools = 0, hooks = 0;
    for (const auto& [process, shown] : seen) {
      tools += process.starts_with("sotto ") ? 1 : 0;
      hooks += absl::StrContains(shown, "/hook") ? 1 : 0;
      processes += process + " " + shown + "\n";
    }
    EXPECT_GE(tools, 20u) << "command lines of the tool were not seen";
    EXPECT_GE(hooks, 1u) << "no handler was seen";
    ExpectNoSecret("a process", processes, 2'000);
  }

  std::unique_ptr<DatabaseServer> server_;
  std::string database_;
  SecretSearch secrets_;
  std::set<uint64_t> generations_;
  std::string tool_, last_;
};

TEST_P(RotationSecrecy, NothingSecretIsShown) {
  ProcessWatch watch;
  lab_->relay()->Record();
  for (int i = 0; i < 3; ++i) AddNode();
  ASSERT_FALSE(HasFatalFailure());
  for (const int node : All()) ASSERT_TRUE(lab_->Start(node).ok());
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(40))) << Views();
  Remember();

  Rotate();
  UseFiles();
  ChangeKek();
  WriteByHand();
  ASSERT_FALSE(HasFatalFailure());
  // A member dies and comes back, so that handlers and handshakes are among what is searched.
  lab_->Kill(2);
  ASSERT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return lab_->StatesAt(0)["n3"] == "dead"; }));
  ASSERT_TRUE(lab_->Start(2).ok());
  ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(20))) << Views();
  SearchEverything();
  SearchProcesses(watch.Take());
}

INSTANTIATE_TEST_SUITE_P(Stores, RotationSecrecy,
                         testing::Values(SqlDialect::kSqlite, SqlDialect::kPostgres),
                         [](const auto& row) { return std::string(ToString(row.param)); });

TEST(SecretSearchTest, FindsEveryFormAndNothingElse) {
  SecretSearch search;
  std::vector<uint8_t> key(32);
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(0xf1 + 37 * i);
  search.AddBytes("key", key);
  search.AddText("password", "correct-horse");
  const std::string raw(key.begin(), key.end());
  EXPECT_EQ(search.FindIn("a" + raw + "b"), (std::set<std::string>{"key, raw"}));
  EXPECT_EQ(search.FindIn(absl::BytesToHexString("xy" + raw)), (std::set<std::string>{"key, hex"}));
  for (const char* before : {"", "x", "xy", "xyz"}) {
    for (const char* after : {"", "p", "pq"}) {
      std::string text;
      absl::Base64Escape(before + raw + after, &text);
      EXPECT_EQ(search.FindIn(text), (std::set<std::string>{"key, base64"})) << text;
      absl::WebSafeBase64Escape(before + raw + after, &text);
      EXPECT_EQ(search.FindIn(text), (std::set<std::string>{"key, base64"})) << text;
    }
  }
  EXPECT_EQ(search.FindIn("PGPASSWORD=correct-horse"), (std::set<std::string>{"password"}));
  std::string half(raw.substr(0, 16));
  EXPECT_TRUE(search.FindIn(half + "correct" + absl::BytesToHexString(half)).empty());
}

}  // namespace
}  // namespace sotto
