// Starts that must fail: each with its exit code, and a log that names the code. Beside them, good
// ones.
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include "crypto/base64.h"
#include "crypto/envelope.h"
#include "crypto/kek.h"
#include "crypto/keyring.h"
#include "crypto/secret_bytes.h"
#include "tests/support/daemon_cluster.h"

namespace sotto {
namespace {

namespace fs = std::filesystem;

class BadStart : public DaemonTest {
 protected:
  void SetUp() override {
    LabOptions options;
    options.relay = false;
    MakeLab(options);
  }

  // Runs SQL on the cluster's table; `value`, if given, is bound to ?1 as it is, NULs included.
  void Sql(const std::string& sql, const std::string* value = nullptr) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(lab_->store_path().c_str(), &db), SQLITE_OK);
    sqlite3_stmt* statement = nullptr;
    ASSERT_EQ(sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db);
    if (value != nullptr) {
      sqlite3_bind_text(statement, 1, value->data(), static_cast<int>(value->size()),
                        SQLITE_TRANSIENT);
    }
    EXPECT_EQ(sqlite3_step(statement), SQLITE_DONE) << sqlite3_errmsg(db);
    sqlite3_finalize(statement);
    sqlite3_close(db);
  }
  void SetKeyRow(const std::string& value) {
    Sql("UPDATE Systems SET Value = ?1 WHERE Name = 'ClusterEncryptionKey'", &value);
  }

  // As before the first start: the row is all there is.
  void EmptyKeyTable() { Sql("DELETE FROM ClusterKeys"); }

  int Add(const LabNodeSpec& spec = {}) {
    const auto node = lab_->AddNode(spec);
    EXPECT_TRUE(node.ok()) << node.status();
    return node.value_or(0);
  }

  // The start ends with `exit`, and what it printed names `code`.
  void ExpectRefused(int node, int exit, const std::string& code,
                     std::optional<uid_t> uid = std::nullopt) {
    std::error_code ignored;
    fs::remove(lab_->File(node, "log"), ignored);
    ASSERT_TRUE(lab_->Start(node, uid).ok());
    const auto ended = lab_->process(node)->Wait(Seconds(10));
    ASSERT_TRUE(ended.has_value()) << "it runs, and should not:\n" << lab_->LogOf(node);
    EXPECT_EQ(*ended, exit) << lab_->LogOf(node);
    EXPECT_NE(lab_->LogOf(node).find(code), std::string::npos) << "no " << code << " in:\n"
                                                               << lab_->LogOf(node);
  }

  void ExpectStarts(int node) {
    ASSERT_TRUE(lab_->Start(node).ok());
    EXPECT_TRUE(lab_->WaitUntil(Seconds(10), [&] { return lab_->Get(node, "/v1/status").ok(); }))
        << lab_->LogOf(node);
    lab_->Kill(node);
  }

  // Replaces text in a node's configuration.
  void Edit(int node, const std::string& from, const std::string& to) {
    std::ifstream in(lab_->File(node, "sottod.toml"));
    std::stringstream text;
    text << in.rdbuf();
    std::string config = text.str();
    const size_t at = config.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    config.replace(at, from.size(), to);
    ASSERT_TRUE(WriteNewFile(lab_->File(node, "sottod.toml"), config, 0600).ok());
  }
};

// ---- the key at rest ----------------------------------------------------------------------------

constexpr char kKeyText[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
constexpr char kKekText[] = "gAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
constexpr char kOtherKekText[] = "gQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

// kKeyText as a value of the row.
std::string Wrapped(uint64_t generation, const std::string& cluster = LabOptions().cluster,
                    const char* kek = kKekText) {
  const SecretBytes bytes = *DecodeBase64(kKeyText);
  return *WrapKey(**ClusterKey::Create(bytes.Clone(), cluster, generation), **ParseKekText(kek));
}

std::string IdOfKek(const char* text) { return ToString((*ParseKekText(text))->id()); }

// Nodes that have a KEK.
class KeyAtRest : public BadStart {
 protected:
  void SetUp() override {
    BadStart::SetUp();
    fs::create_directory(folder_.File("keks"));
    ASSERT_EQ(chmod(folder_.File("keks").c_str(), 0700), 0);
    SetKek(kKekText);
  }
  std::string KekPath() const { return folder_.File("keks/kek"); }
  void SetKek(const std::string& text) {
    fs::remove(KekPath());
    ASSERT_TRUE(WriteNewFile(KekPath(), text + "\n", 0600).ok());
  }
  int AddWithKek() {
    LabNodeSpec spec;
    spec.more_config = absl::StrCat("\n[encryption]\nkek = \"file:", KekPath(), "\"\n");
    const int node = Add(spec);
    return node;
  }
  void StartAndWait(int node) {
    ASSERT_TRUE(lab_->Start(node).ok());
    ASSERT_TRUE(lab_->WaitUntil(Seconds(20), [&] { return lab_->Get(node, "/v1/status").ok(); }))
        << lab_->LogOf(node);
  }
  // The key in use, as the API shows it.
  boost::json::object KeyOf(int node) {
    const auto keys = lab_->Get(node, "/v1/keys");
    return keys.ok() ? keys->at("data").as_array().at(0).as_object() : boost::json::object();
  }
  std::string Notes(int node) {
    const auto status = lab_->Get(node, "/v1/status");
    return status.ok() ? boost::json::serialize(status->at("data").at("notes")) : "";
  }
  void ExpectNoSecretIn(const std::string& text) {
    for (const char* secret : {kKeyText, kKekText, kOtherKekText}) {
      EXPECT_EQ(text.find(secret), std::string::npos);
    }
    EXPECT_EQ(text.find("sottok1:"), std::string::npos) << "a wrapped value is not for logs either";
  }
};

constexpr int kBadConfig = 78;
constexpr int kTryAgain = 75;

TEST_F(BadStart, EveryRowOfTheKeyTable) {
  using std::string_literals::operator""s;
  const struct {
    const char* name;
    std::string value;
    const char* code;
  } kRows[] = {
      {"hex of 16 bytes", "00112233445566778899aabbccddeeff", "KEY_LOOKS_HEX"},
      {"no padding", "AAECAwQFBgcICQoLDA0ODw", "KEY_BAD_BASE64"},
      {"one pad of two", "AAECAwQFBgcICQoLDA0ODw=", "KEY_BAD_BASE64"},
      {"three pads", "AAECAwQFBgcICQoLDA0ODw===", "KEY_BAD_BASE64"},
      {"trailing newline", "AAECAwQFBgcICQoLDA0ODw==\n", "KEY_BAD_BASE64"},
      {"leading space", " AAECAwQFBgcICQoLDA0ODw==", "KEY_BAD_BASE64"},
      {"inner newline", "AAECAwQFBgcI\nCQoLDA0ODw==", "KEY_BAD_BASE64"},
      {"dots for pads", "AAECAwQFBgcICQoLDA0ODw..", "KEY_BAD_BASE64"},
      {"bits beyond the end", "AAECAwQFBgcICQoLDA0ODx==", "KEY_BAD_BASE64"},
      {"URL-safe alphabet", "_-ECAwQFBgcICQoLDA0ODw==", "KEY_BAD_BASE64"},
      {"data after padding", "AAECAwQFBgcICQoLDA0ODw==AAAA", "KEY_BAD_BASE64"},
      {"NUL inside", "AAECAwQF\0BgcICQoLDA0ODw=="s, "KEY_BAD_BASE64"},
      {"byte order mark",
       "\xef\xbb\xbf"
       "AAECAwQFBgcICQoLDA0ODw==",
       "KEY_BAD_BASE64"},
      {"empty", "", "KEY_EMPTY"},
      {"1 byte", "AA==", "KEY_BAD_LENGTH"},
      {"15 bytes", "AAECAwQFBgcICQoLDA0O", "KEY_BAD_LENGTH"},
      {"17 bytes", "AAECAwQFBgcICQoLDA0ODxA=", "KEY_BAD_LENGTH"},
      {"31 bytes", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", "KEY_BAD_LENGTH"},
      {"33 bytes", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", "KEY_BAD_LENGTH"},
      {"64 hex digits", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
       "KEY_BAD_LENGTH"},
      {"equal bytes", "AAAAAAAAAAAAAAAAAAAAAA==", "KEY_WEAK"},
      {"a password", "cGFzc3dvcmRwYXNzd29yZA==", "KEY_WEAK"},
      {"over 1024 characters", std::string(1028, 'A'), "KEY_TOO_LONG"},
      {"wrapped", Wrapped(5), "KEK_MISSING"},
      {"wrapped, and cut", "sottok1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "KEY_CORRUPT"},
      {"wrapped, unknown form", "sottok2:AAAA", "KEY_UNSUPPORTED_VERSION"},
  };
  const int node = Add();
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    SetKeyRow(row.value);
    ExpectRefused(node, kBadConfig, row.code);
    if (row.value.size() >= 16) {
      EXPECT_EQ(lab_->LogOf(node).find(row.value), std::string::npos) << "the value is a secret";
    }
  }
  for (const char* good : {"AAECAwQFBgcICQoLDA0ODw==", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
                           "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}) {
    SetKeyRow(good);
    ExpectStarts(node);
  }
}

TEST_F(KeyAtRest, RunsFromAWrappedRow) {
  SetKeyRow(Wrapped(5));
  const int node = AddWithKek();
  StartAndWait(node);
  const boost::json::object key = KeyOf(node);
  EXPECT_EQ(key.at("generation").as_int64(), 5);
  EXPECT_EQ(key.at("kek").as_string(), IdOfKek(kKekText));
  EXPECT_EQ(Notes(node).find("KEY"), std::string::npos) << Notes(node);
  const int second = AddWithKek();
  ASSERT_TRUE(lab_->Start(second).ok());
  EXPECT_TRUE(lab_->WaitAgree({node, second}, {node, second}, Seconds(15))) << Views();
  ExpectNoSecretIn(lab_->LogOf(node) + lab_->LogOf(second) + boost::json::serialize(key));
}

TEST_F(KeyAtRest, EveryWrappedRowOfTheKeyTable) {
  const std::string good = Wrapped(5);
  std::string flipped = good, renamed = Wrapped(5, LabOptions().cluster, kOtherKekText);
  flipped[good.size() - 8] = flipped[good.size() - 8] == 'A' ? 'B' : 'A';
  renamed.replace(8, kKekIdChars, IdOfKek(kKekText));
  const struct {
    const char* name;
    std::string value;
    const char* code;
  } kRows[] = {
      {"under another KEK", Wrapped(5, LabOptions().cluster, kOtherKekText), "KEK_MISSING"},
      {"under another KEK, with this one's id", renamed, "KEK_MISMATCH"},
      {"one bit flipped", flipped, "KEY_CORRUPT"},
      {"of another cluster", Wrapped(5, "another"), "KEY_CORRUPT"},
      {"a later form", "sottok2:" + good.substr(8), "KEY_UNSUPPORTED_VERSION"},
      {"a trailing newline", good + "\n", "KEY_BAD_BASE64"},
      {"an older generation", Wrapped(4), "KEY_ROLLBACK"},
      {"plain", kKeyText, "KEY_PLAIN_REFUSED"},
  };
  const int node = AddWithKek();
  SetKeyRow(good);
  ExpectStarts(node);  // from now on generation 5 has been used here
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    SetKeyRow(row.value);
    EmptyKeyTable();
    ExpectRefused(node, kBadConfig, row.code);
    ExpectNoSecretIn(lab_->LogOf(node));
  }
  SetKeyRow(Wrapped(6));
  ExpectStarts(node);
}

// What somebody wrote into the row keeps no node away from the keys that the table has.
TEST_F(KeyAtRest, StartsFromTheTableWhereTheRowIsWrong) {
  SetKeyRow(Wrapped(5));
  const int node = AddWithKek();
  ExpectStarts(node);
  const std::pair<std::string, const char*> kRows[] = {{"no key at all", "KEY_BAD_BASE64"},
                                                       {kKeyText, "KEY_PLAIN_REFUSED"},
                                                       {"sottok2:x", "KEY_UNSUPPORTED_VERSION"}};
  for (const auto& [value, code] : kRows) {
    SCOPED_TRACE(code);
    SetKeyRow(value);
    StartAndWait(node);
    EXPECT_EQ(KeyOf(node).at("generation").as_int64(), 5);
    EXPECT_TRUE(lab_->WaitUntil(Seconds(10), [&] {
      return Notes(node).find(code) != std::string::npos;
    })) << Notes(node);
    lab_->Kill(node);
  }
}

TEST_F(KeyAtRest, EveryRowOfTheKekFileTable) {
  SetKeyRow(Wrapped(5));
  const int node = AddWithKek();
  const std::pair<const char*, const char*> kTexts[] = {
      {"", "KEK_EMPTY"},
      {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", "KEK_BAD_LENGTH"},
      {"gAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\r", "KEK_BAD_BASE64"},
      {kOtherKekText, "KEK_MISSING"},
  };
  for (const auto& [text, code] : kTexts) {
    SCOPED_TRACE(code);
    SetKek(text);
    ExpectRefused(node, kBadConfig, code);
    ExpectNoSecretIn(lab_->LogOf(node));
  }
  SetKek(kKekText);
  for (const mode_t mode : {0640, 0604, 0644, 0666}) {
    SCOPED_TRACE(mode);
    ASSERT_EQ(chmod(KekPath().c_str(), mode), 0);
    ExpectRefused(node, kBadConfig, "SECRET_READABLE");
  }
  ASSERT_EQ(chmod(KekPath().c_str(), 0600), 0);
  ASSERT_EQ(chmod(folder_.File("keks").c_str(), 0777), 0);
  ExpectRefused(node, kBadConfig, "FOLDER_WRITABLE");
  ASSERT_EQ(chmod(folder_.File("keks").c_str(), 0700), 0);
  fs::rename(KekPath(), KekPath() + ".away");
  ExpectRefused(node, kBadConfig, "FILE_MISSING");
  fs::create_symlink(KekPath() + ".away", KekPath());
  ExpectRefused(node, kBadConfig, "FILE_NOT_REGULAR");
  fs::remove(KekPath());
  ASSERT_EQ(mkfifo(KekPath().c_str(), 0600), 0);
  ExpectRefused(node, kBadConfig, "FILE_NOT_REGULAR");
  SetKek(kKekText);
  ExpectStarts(node);
}

TEST_F(KeyAtRest, AMintedKeyIsWrapped) {
  Sql("DELETE FROM Systems");
  const int node = AddWithKek();
  StartAndWait(node);
  EXPECT_EQ(KeyOf(node).at("kek").as_string(), IdOfKek(kKekText));
  EXPECT_EQ(KeyOf(node).at("generation").as_int64(), 1);
  lab_->Kill(node);
  // Once is enough: a row that is gone later was taken away.
  Sql("DELETE FROM Systems");
  EmptyKeyTable();
  ExpectRefused(node, kBadConfig, "KEY_MISSING");
}

// A database that is away at the start, played by somebody who keeps it locked.
class AwayDatabase {
 public:
  explicit AwayDatabase(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
    // With a write-ahead log, a transaction alone keeps no reader out.
    for (const char* sql : {"PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"}) {
      EXPECT_EQ(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sql;
    }
  }
  ~AwayDatabase() { sqlite3_close(db_); }
  AwayDatabase(const AwayDatabase&) = delete;
  AwayDatabase& operator=(const AwayDatabase&) = delete;

 private:
  sqlite3* db_ = nullptr;
};

TEST_F(KeyAtRest, StartsFromItsCacheWhileTheDatabaseIsAway) {
  SetKeyRow(Wrapped(5));
  const int node = AddWithKek();
  StartAndWait(node);
  const std::string cache = lab_->File(node, "state") + "/key.cache";
  ASSERT_TRUE(lab_->WaitUntil(Seconds(10), [&] { return fs::exists(cache); }));
  const std::string id(KeyOf(node).at("id").as_string());
  lab_->Kill(node);
  {
    const AwayDatabase away(lab_->store_path());
    StartAndWait(node);
    EXPECT_EQ(KeyOf(node).at("id").as_string(), id);
    EXPECT_EQ(KeyOf(node).at("generation").as_int64(), 5);
    EXPECT_NE(Notes(node).find("KEY_FROM_CACHE"), std::string::npos) << Notes(node);
    EXPECT_NE(lab_->LogOf(node).find("started_from_key_cache"), std::string::npos);
  }
  EXPECT_TRUE(lab_->WaitUntil(Seconds(20), [&] {
    const std::string notes = Notes(node);
    return !notes.empty() && notes.find("KEY_FROM_CACHE") == std::string::npos;
  })) << Notes(node);
  ExpectNoSecretIn(lab_->LogOf(node));
  lab_->Kill(node);

  const AwayDatabase away(lab_->store_path());
  const auto expect_try_again = [&](const char* code) {
    fs::remove(lab_->File(node, "log"));
    ASSERT_TRUE(lab_->Start(node).ok());
    const auto ended = lab_->process(node)->Wait(Seconds(20));
    ASSERT_TRUE(ended.has_value()) << lab_->LogOf(node);
    EXPECT_EQ(*ended, kTryAgain) << lab_->LogOf(node);
    EXPECT_NE(lab_->LogOf(node).find("DB_LOCKED"), std::string::npos);
    EXPECT_NE(lab_->LogOf(node).find(code), std::string::npos) << lab_->LogOf(node);
  };
  fs::copy_file(cache, cache + ".good");
  std::fstream(cache, std::ios::in | std::ios::out).seekp(150).put('!');
  expect_try_again("KEY_CACHE_CORRUPT");
  fs::remove(cache);
  expect_try_again("KEY_CACHE_MISSING");
  fs::rename(cache + ".good", cache);
  Edit(node, "[store]\n", "[store]\nwhen_down = \"refuse\"\n");
  expect_try_again("DB_LOCKED");
}

TEST_F(BadStart, AStoreThatIsNotThere) {
  LabNodeSpec spec;
  spec.store_url = absl::StrCat("sqlite:", folder_.path(), "/none.db");
  ExpectRefused(Add(spec), kBadConfig, "DB_MISSING");
  spec.name = "n2";
  spec.store_url = absl::StrCat("sqlite:", folder_.path(), "/text.db");
  ASSERT_TRUE(WriteNewFile(folder_.File("text.db"), std::string(4096, 'x'), 0600).ok());
  ExpectRefused(Add(spec), kBadConfig, "DB_NOT_A_DATABASE");
  spec.name = "n3";
  spec.store_url = "mysql://me@db.internal/app?ssl-mode=DISABLED";
  ExpectRefused(Add(spec), kBadConfig, "STORE_URL_INVALID");
  spec.name = "n4";
  spec.store_url = "postgres://me@127.0.0.1:1/app?sslmode=disable";
  ExpectRefused(Add(spec), kTryAgain, "DB_REFUSED");
}

TEST_F(BadStart, NoKeyAndAContactElsewhere) {
  Sql("DELETE FROM Systems");
  LabNodeSpec spec;
  spec.join = {"192.0.2.1:7950"};
  ExpectRefused(Add(spec), kBadConfig, "KEY_MISSING");
}

TEST_F(BadStart, ConfigurationThatCannotBe) {
  const struct {
    const char *from, *to, *code;
  } kEdits[] = {
      {"[gossip]", "[gosip]", "CONFIG_UNKNOWN_KEY"},
      {"profile = ", "profil = ", "CONFIG_UNKNOWN_KEY"},
      {"profile = \"local\"", "profile = 3", "CONFIG_WRONG_TYPE"},
      {"profile = \"local\"", "profile = \"moon\"", "CONFIG_OUT_OF_RANGE"},
      {"[node]", "[node", "CONFIG_SYNTAX"},
      {"bind = [", "bind = [\"nowhere\", ", "ADDRESS_INVALID"},
      {"name = \"n", "name = \"-n", "MEMBER_NAME_INVALID"},
  };
  const int node = Add();
  const std::string good = lab_->File(node, "sottod.toml");
  fs::copy_file(good, good + ".good");
  for (const auto& edit : kEdits) {
    SCOPED_TRACE(edit.to);
    Edit(node, edit.from, edit.to);
    ExpectRefused(node, kBadConfig, edit.code);
    fs::copy_file(good + ".good", good, fs::copy_options::overwrite_existing);
  }
  ExpectStarts(node);
}

TEST_F(BadStart, APortInUse) {
  const int first = Add();
  ASSERT_TRUE(lab_->Start(first).ok());
  ASSERT_TRUE(lab_->WaitUntil(Seconds(10), [&] { return lab_->Get(first, "/v1/status").ok(); }));
  const int second = Add();
  Edit(second, absl::StrCat("bind = [\"", lab_->bind(second)),
       absl::StrCat("bind = [\"", lab_->bind(first)));
  ExpectRefused(second, kTryAgain, "ADDRESS_IN_USE");
}

TEST_F(BadStart, AFolderInUse) {
  const int first = Add();
  ASSERT_TRUE(lab_->Start(first).ok());
  ASSERT_TRUE(lab_->WaitUntil(Seconds(10), [&] { return lab_->Get(first, "/v1/status").ok(); }));
  const int second = Add();
  Edit(second, absl::StrCat("state_dir = \"", lab_->File(second, "state")),
       absl::StrCat("state_dir = \"", lab_->File(first, "state")));
  ExpectRefused(second, kTryAgain, "STATE_IN_USE");
}

TEST_F(BadStart, SecretsThatOthersCanRead) {
  const int node = Add();
  const std::string key = lab_->File(node, "node.key");
  for (const mode_t mode : {0640, 0604, 0644, 0666}) {
    SCOPED_TRACE(mode);
    ASSERT_EQ(chmod(key.c_str(), mode), 0);
    ExpectRefused(node, kBadConfig, "SECRET_READABLE");
  }
  ASSERT_EQ(chmod(key.c_str(), 0600), 0);
  ASSERT_EQ(chmod(lab_->store_path().c_str(), 0644), 0);
  ExpectRefused(node, kBadConfig, "SECRET_READABLE");
  ASSERT_EQ(chmod(lab_->store_path().c_str(), 0600), 0);
  ExpectStarts(node);
}

// As another user where we are root, whom no mode stops; as ourselves otherwise.
TEST_F(BadStart, AStateFolderThatCannotBeWritten) {
  const int node = Add();
  const std::string state = lab_->File(node, "state");
  fs::create_directory(state);
  std::optional<uid_t> uid;
  if (geteuid() == 0) {
    uid = 65534;
    // The program lies where that user may not go.
    const std::string program = folder_.File("sottod");
    fs::copy_file(TestSottod(), program);
    Edit(node, "level = \"info\"", "level = \"debug\"");
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
      ASSERT_EQ(chown(entry.path().c_str(), *uid, *uid), 0);
    }
    ASSERT_EQ(chown(folder_.path().c_str(), *uid, *uid), 0);
    ASSERT_EQ(chmod(program.c_str(), 0755), 0);
    ASSERT_EQ(chown(state.c_str(), 0, 0), 0);
    lab_->UseProgram(program);
  }
  ASSERT_EQ(chmod(state.c_str(), 0555), 0);
  ExpectRefused(node, kBadConfig, "STATE_UNWRITABLE", uid);
  ASSERT_EQ(chmod(state.c_str(), 0700), 0);
}

TEST_F(BadStart, TwoAtTheSameInstantEndWithOneKey) {
  for (int round = 0; round < 4; round++) {
    SCOPED_TRACE(round);
    Sql("DELETE FROM Systems");
    const int first = Add({.name = absl::StrCat("a", round)});
    const int second = Add({.name = absl::StrCat("b", round)});
    ASSERT_TRUE(lab_->Start(first).ok());
    ASSERT_TRUE(lab_->Start(second).ok());
    std::string ids[2];
    EXPECT_TRUE(lab_->WaitUntil(Seconds(10),
                                [&] {
                                  for (const int i : {0, 1}) {
                                    const auto status =
                                        lab_->Get(i == 0 ? first : second, "/v1/status");
                                    if (!status.ok()) return false;
                                    ids[i] =
                                        status->at("data").at("key").at("id").as_string().c_str();
                                  }
                                  return true;
                                }))
        << lab_->LogOf(first) << lab_->LogOf(second);
    EXPECT_EQ(ids[0], ids[1]);
    EXPECT_EQ(ids[0].size(), 9u) << ids[0];
    lab_->Kill(first);
    lab_->Kill(second);
  }
}

// At run time a bad row changes nothing but the health.
TEST_F(BadStart, AtRunTimeTheLastGoodKeyStays) {
  LabNodeSpec spec;
  spec.more_config = "\n";
  const int node = Add(spec);
  ASSERT_TRUE(lab_->Start(node).ok());
  ASSERT_TRUE(lab_->WaitUntil(Seconds(10), [&] { return lab_->Get(node, "/v1/status").ok(); }));
  const auto id = [&] {
    const auto status = lab_->Get(node, "/v1/status");
    return status.ok() ? std::string(status->at("data").at("key").at("id").as_string().c_str())
                       : "";
  };
  const auto health = [&] {
    const auto status = lab_->Get(node, "/v1/status");
    return status.ok() ? std::string(status->at("data").at("health").as_string().c_str()) : "";
  };
  const std::string before = id();
  const std::string good = [&] {
    std::string value;
    sqlite3* db = nullptr;
    sqlite3_open(lab_->store_path().c_str(), &db);
    sqlite3_stmt* row = nullptr;
    sqlite3_prepare_v2(db, "SELECT Value FROM Systems", -1, &row, nullptr);
    if (sqlite3_step(row) == SQLITE_ROW) {
      value = reinterpret_cast<const char*>(sqlite3_column_text(row, 0));
    }
    sqlite3_finalize(row);
    sqlite3_close(db);
    return value;
  }();
  SetKeyRow("not base64 at all!");
  EXPECT_TRUE(lab_->WaitUntil(Seconds(6), [&] { return health() == "critical"; }))
      << lab_->LogOf(node);
  EXPECT_NE(lab_->LogOf(node).find("KEY_BAD_BASE64"), std::string::npos);
  EXPECT_EQ(id(), before);
  SetKeyRow(good);
  EXPECT_TRUE(lab_->WaitUntil(Seconds(6), [&] { return health() != "critical"; }));
  Sql("DELETE FROM Systems");
  EXPECT_TRUE(lab_->WaitUntil(Seconds(6), [&] { return health() == "critical"; }))
      << lab_->LogOf(node);
  EXPECT_EQ(id(), before);
}

}  // namespace
}  // namespace sotto
