// A cluster of real daemons whose key is changed, on a database of its own of each kind.
#ifndef SOTTO_TESTS_E2E_ROTATION_FIXTURE_H_
#define SOTTO_TESTS_E2E_ROTATION_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "store/sql.h"
#include "tests/support/daemon_cluster.h"
#include "tests/support/database_server.h"
#include "tests/support/raw_sqlite.h"

namespace sotto {

namespace json = boost::json;

inline std::string NameOfStore(const testing::TestParamInfo<SqlDialect>& row) {
  return std::string(ToString(row.param));
}

// 16, 24 and 32 bytes that look like chance.
inline constexpr char kKey128[] = "g4iNkpecoaaruLW6v8TJzg==";
inline constexpr char kKey192[] = "hYqPlJmeo6itsre8wcbL0NXa3+Tp7vP4";
inline constexpr char kKey256[] = "h4yRlpugpaqvtLm+w8jN0tfc4ebr8PX6/wQJDhMYHSI=";

class FileSession : public RawSession {
 public:
  explicit FileSession(const std::string& path) : file_(path) {}
  std::string Run(const std::string& sql) override { return file_.Run(sql); }

 private:
  RawSqlite file_;
};

class RotationTest : public DaemonTest, public testing::WithParamInterface<SqlDialect> {
 protected:
  void SetUp() override {
    MakeLab();
    if (GetParam() == SqlDialect::kSqlite) return;
    server_ = GetParam() == SqlDialect::kMysql ? DatabaseServer::StartMariadb()
                                               : DatabaseServer::StartPostgres();
    database_ = server_->NewDatabase();
    std::ofstream(folder_.File("sql.pass")) << DatabaseServer::kPassword << "\n";
    ASSERT_EQ(chmod(folder_.File("sql.pass").c_str(), 0600), 0);
  }

  // With a KEK, the keys lie wrapped in a store of their own.
  void UseKek() {
    std::ofstream(folder_.File("kek")) << kKey256 << "\n";
    ASSERT_EQ(chmod(folder_.File("kek").c_str(), 0600), 0);
    has_kek_ = true;
  }

  std::string StoreUrl() const {
    if (server_ != nullptr) {
      return server_->TcpUrl(database_, "localhost", server_->TlsParameters());
    }
    return absl::StrCat("sqlite:", has_kek_ ? folder_.File("kek.db") : lab_->store_path());
  }

  // `more`: further lines of its configuration.
  int AddNode(const std::string& url, const std::string& poll = "500ms",
              const std::string& more = "") {
    LabNodeSpec spec;
    spec.store_url = url;
    for (int i = 0; i < std::min(lab_->size(), 2); ++i) spec.join.push_back(lab_->advertised(i));
    const auto node = lab_->AddNode(spec);
    EXPECT_TRUE(node.ok()) << node.status();
    const std::string folder = lab_->File(*node, "conf.d");
    EXPECT_EQ(mkdir(folder.c_str(), 0755), 0);
    std::ofstream file(folder + "/store.toml");
    file << "[store]\ncreate = true\npoll = \"" << poll << "\"\n";
    if (server_ != nullptr) file << "password_file = \"" << folder_.File("sql.pass") << "\"\n";
    if (has_kek_) file << "[encryption]\nkek = \"file:" << folder_.File("kek") << "\"\n";
    file << more;
    return *node;
  }

  void StartCluster(int count, const std::string& poll = "500ms", const std::string& more = "") {
    for (int i = 0; i < count; ++i) AddNode(StoreUrl(), poll, more);
    for (const int node : All()) ASSERT_TRUE(lab_->Start(node).ok());
    ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(40))) << Views();
  }

  // ---- what a node says of the keys -------------------------------------------------------------

  json::value Status(int node, bool ask = false) const {
    const auto envelope = lab_->Get(node, absl::StrCat("/v1/keys/status", ask ? "?ask=1" : ""));
    return envelope.ok() ? envelope->at("data") : json::value(json::object{});
  }
  int64_t ActiveIn(int node) const {
    const json::value status = Status(node);
    const json::value* active = status.as_object().if_contains("active");
    return active == nullptr || !active->is_object() ? 0 : active->at("generation").as_int64();
  }
  // What the node itself seals with, by its own status.
  std::string SealsWith(int node) const { return lab_->StatusText(node, "key.id"); }
  bool AllSealWith(const std::vector<int>& nodes, const std::string& id) const {
    return std::all_of(nodes.begin(), nodes.end(), [&](int node) { return SealsWith(node) == id; });
  }
  // Frames that the node dropped since its start because of a key.
  int64_t KeyDrops(int node) const {
    return lab_->StatusNumber(node, "frames.dropped.unknown_key") +
           lab_->StatusNumber(node, "frames.dropped.bad_tag");
  }
  std::string Problem(const absl::StatusOr<json::value>& answer) const {
    if (answer.ok()) return "ok";
    return absl::StrCat(ErrorCode(answer.status()), ": ", answer.status().message());
  }

  // ---- steps ------------------------------------------------------------------------------------

  int64_t Prepare(int node) {
    const auto answer = lab_->Post(node, "/v1/keys/prepare", json::object{});
    EXPECT_TRUE(answer.ok()) << Problem(answer);
    if (!answer.ok()) return 0;
    next_id_ = answer->at("data").at("id").as_string().c_str();
    return answer->at("data").at("generation").as_int64();
  }
  // Until activation is allowed.
  bool Activate(int node, int64_t generation) {
    return lab_->WaitUntil(Seconds(20), [&] {
      last_ =
          Problem(lab_->Post(node, "/v1/keys/activate", json::object{{"generation", generation}}));
      return last_ == "ok";
    });
  }
  void Rotate(int node, const std::vector<int>& living) {
    const int64_t generation = Prepare(node);
    ASSERT_TRUE(Activate(node, generation)) << last_;
    ASSERT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return AllSealWith(living, next_id_); }))
        << next_id_;
  }
  // The old key goes, everywhere.
  void Remove(int node, int64_t generation) {
    const bool done = lab_->WaitUntil(Seconds(20), [&] {
      last_ =
          Problem(lab_->Post(node, "/v1/keys/remove", json::object{{"generation", generation}}));
      return last_ == "ok";
    });
    EXPECT_TRUE(done) << last_;
  }
  void Write(const std::string& value) { Sql(UpdateOf(value)); }
  static std::string UpdateOf(const std::string& value) {
    return "UPDATE Systems SET Value = '" + value + "' WHERE Name = 'ClusterEncryptionKey'";
  }

  // ---- what the database says -------------------------------------------------------------------

  std::unique_ptr<RawSession> Session() const {
    if (server_ != nullptr) return server_->Session(database_);
    return std::make_unique<FileSession>(has_kek_ ? folder_.File("kek.db") : lab_->store_path());
  }
  // The first value of the first row, or empty.
  std::string Sql(const std::string& sql) const { return Session()->Run(sql); }
  std::string KeysThatAre(const std::string& state) const {
    return Sql("SELECT COUNT(*) FROM ClusterKeys WHERE State = '" + state + "'");
  }
  std::string ActiveId() const {
    return Sql("SELECT KeyId FROM ClusterKeys WHERE State = 'ACTIVE'");
  }
  // One ACTIVE key, which Systems holds and all of `nodes` seal with; no other is left.
  bool IsSettled(const std::vector<int>& nodes) const {
    return KeysThatAre("ACTIVE") == "1" && KeysThatAre("PREPARED") == "0" &&
           KeysThatAre("RETIRED") == "0" &&
           Sql("SELECT COUNT(*) FROM ClusterKeys INNER JOIN Systems ON Systems.Value = "
               "ClusterKeys.Value WHERE State = 'ACTIVE' AND Name = 'ClusterEncryptionKey'") ==
               "1" &&
           AllSealWith(nodes, ActiveId());
  }
  std::string Keys() const {
    std::string out;
    for (const char* state : {"PREPARED", "ACTIVE", "RETIRED", "REMOVED"}) {
      absl::StrAppend(&out, " ", state, "=", KeysThatAre(state));
    }
    return out;
  }

  // ---- health -----------------------------------------------------------------------------------

  std::string StoreCode(int node) const {
    const auto envelope = lab_->Get(node, "/v1/status");
    if (!envelope.ok()) return std::string(envelope.status().message());
    return json::serialize(envelope->at("data").at("store").at("code"));
  }
  bool AwaitCode(int node, const std::string& code) const {
    return lab_->WaitUntil(Seconds(20), [&] { return StoreCode(node) == code; });
  }

  void ExpectNoKeyDrops(const std::vector<int>& nodes) const {
    for (const int node : nodes) EXPECT_EQ(KeyDrops(node), 0) << lab_->name(node);
  }

  std::unique_ptr<DatabaseServer> server_;
  std::string database_;
  bool has_kek_ = false;
  std::string next_id_;  // of the key that was prepared last
  std::string last_;     // what the last step said
};

}  // namespace sotto

#endif  // SOTTO_TESTS_E2E_ROTATION_FIXTURE_H_
