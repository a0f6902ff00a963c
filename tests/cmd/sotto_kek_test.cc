// sotto kek ls, check, rekey and sotto store copy: the whole verbs on SQLite files.
// After a change that is meant: SOTTO_UPDATE_GOLDEN=<folder of the source tree> and read the diff.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/cmd/fake_daemon.h"
#include "tests/support/raw_sqlite.h"
#include "tests/support/temp_dir.h"

namespace sotto::testing {
namespace {

namespace json = boost::json;

constexpr char kPlainKey[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
constexpr char kOldKek[] = "IDEyQ1RldoeYqbrL3O3+DyAxMkNUZXaHmKm6y9zt/g8=\n";
constexpr char kNewKek[] = "gYWKj5SZnqOorbK3vMHGy9DV2t/k6e7zeHx/ERITFBU=\n";

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void ExpectGolden(const std::string& name, const std::string& text) {
  const char* update = std::getenv("SOTTO_UPDATE_GOLDEN");
  if (update != nullptr) {
    std::ofstream(std::string(update) + "/" + name) << text;
    return;
  }
  EXPECT_EQ(text, ReadAll("tests/cmd/golden/" + name)) << name;
}

class KekVerbs : public ::testing::Test {
 protected:
  KekVerbs() {
    std::filesystem::create_directory(dir_.File("keks"));
    EXPECT_EQ(chmod(dir_.File("keks").c_str(), 0700), 0);
    Secret("keks/old", kOldKek);
    Secret("keks/new", kNewKek);
    Secret("plain.key", std::string(kPlainKey) + "\n");
    RawSqlite(Path("s.db"))
        .Run("CREATE TABLE Systems (Name VARCHAR(64) PRIMARY KEY, Value VARCHAR(1024))");
  }

  std::string Path(const std::string& name) const { return dir_.File(name); }
  void Secret(const std::string& name, const std::string& text) {
    std::ofstream(Path(name)) << text;
    EXPECT_EQ(chmod(Path(name).c_str(), 0600), 0);
  }
  // The cluster's key into the store, wrapped under one of the two.
  void Import(const std::string& kek) {
    const RunResult result =
        RunSotto({"keys", "import", "--from", Path("plain.key"), "--cluster", "edge", "--store",
                  "sqlite:" + Path("s.db"), "--kek", "file:" + Path("keks/" + kek)});
    ASSERT_EQ(result.exit, 0) << result.err;
  }
  RunResult Kek(std::vector<std::string> words, const std::string& source) {
    words.insert(words.begin(), {"--target", "unix:" + Path("d"), "kek"});
    words.insert(words.end(), {"--cluster", "edge", "--store", "sqlite:" + Path("s.db")});
    if (!source.empty()) words.insert(words.end(), {"--kek", source});
    if (source.starts_with("folder:")) words.insert(words.end(), {"--kek-active", "new"});
    return RunSotto(words);
  }
  std::string Both() const { return "folder:" + Path("keks"); }
  std::string Value() { return RawSqlite(Path("s.db")).Run("SELECT Value FROM Systems"); }
  // No KEK and no key, in no form.
  static void ExpectNoSecret(const RunResult& result) {
    for (const std::string secret : {kPlainKey, kOldKek, kNewKek}) {
      EXPECT_FALSE(Has(result.out + result.err, secret.substr(0, 12))) << result.out << result.err;
    }
    EXPECT_FALSE(Has(result.out + result.err, "sottok1:")) << result.out << result.err;
  }

  TempDir dir_;
};

TEST_F(KekVerbs, ListTheStatesOfEachKek) {
  Import("old");
  for (const char* format : {"table", "tsv"}) {
    const RunResult pending = Kek({"ls", "-o", format}, Both());
    EXPECT_EQ(pending.exit, 0) << pending.err;
    EXPECT_TRUE(Has(pending.err, "sotto kek rekey")) << pending.err;
    ExpectGolden(std::string("kek_pending.") + format + ".txt", pending.out);
    ExpectNoSecret(pending);
    const RunResult missing = Kek({"ls", "-o", format}, "file:" + Path("keks/new"));
    EXPECT_EQ(missing.exit, 1) << missing.err;
    EXPECT_TRUE(Has(missing.err, "MISSING KEY: bring back")) << missing.err;
    ExpectGolden(std::string("kek_missing.") + format + ".txt", missing.out);
  }
  const RunResult rows = Kek({"ls", "-o", "json"}, Both());
  const json::value data = json::parse(rows.out).at("data");
  ASSERT_EQ(data.as_array().size(), 2u);
  EXPECT_EQ(data.at(0).at("state").as_string(), "active");
  EXPECT_FALSE(data.at(0).at("systems").as_bool());
  EXPECT_EQ(data.at(1).at("state").as_string(), "retired, rekey pending");
  EXPECT_TRUE(data.at(1).at("systems").as_bool());
  // A look makes no table.
  EXPECT_EQ(RawSqlite(Path("s.db")).Run("SELECT count(*) FROM sqlite_master WHERE type = 'table'"),
            "1");
}

TEST_F(KekVerbs, APlainRowIsLegacy) {
  RawSqlite(Path("s.db")).SetRow("ClusterEncryptionKey", kPlainKey);
  const RunResult bare = Kek({"ls"}, "");
  // Without --kek the configuration is not asked: cluster and store are named.
  EXPECT_EQ(bare.exit, 0) << bare.err;
  EXPECT_TRUE(Has(bare.out, "legacy")) << bare.out;
  const RunResult refused = Kek({"rekey"}, Both());
  EXPECT_EQ(refused.exit, 5) << refused.err;
  EXPECT_TRUE(Has(refused.err, "KEY_PLAIN_REFUSED")) << refused.err;
  EXPECT_EQ(Value(), kPlainKey);
  const RunResult backup = Kek({"rekey", "--accept-plain", "--backup", Path("b")}, Both());
  EXPECT_TRUE(Has(backup.err, "KEK_BACKUP_PLAIN")) << backup.err;
  EXPECT_FALSE(std::filesystem::exists(Path("b")));
  const RunResult done = Kek({"rekey", "--accept-plain"}, Both());
  EXPECT_EQ(done.exit, 0) << done.err;
  EXPECT_TRUE(Value().starts_with("sottok1:"));
  ExpectNoSecret(done);
  const RunResult none = Kek({"rekey"}, "");
  EXPECT_TRUE(Has(none.err, "KEK_NONE")) << none.err;
}

TEST_F(KekVerbs, CheckOpensEveryValue) {
  Import("old");
  const RunResult alone = Kek({"check"}, Both());
  EXPECT_EQ(alone.exit, 0) << alone.err;
  ExpectGolden("kek_check.table.txt", alone.out);
  std::string value = Value();
  value[value.size() - 8] = value[value.size() - 8] == 'A' ? 'B' : 'A';
  RawSqlite(Path("s.db")).SetRow("ClusterEncryptionKey", value);
  const RunResult broken = Kek({"check"}, Both());
  EXPECT_EQ(broken.exit, 1);
  EXPECT_TRUE(Has(broken.out, "does not open: the row ClusterEncryptionKey: KEY_CORRUPT"))
      << broken.out;
  EXPECT_EQ(Kek({"check"}, "file:" + Path("keks/new")).exit, 1);
}

// What living members have loaded decides whether values may be wrapped anew.
TEST_F(KekVerbs, MembersHaveToHaveLoadedTheKey) {
  Import("old");
  const std::string before = Value();
  FakeDaemon daemon(Path("d"));
  constexpr char kOld[] = R"(["HtWKyYoUbZs"])", kBoth[] = R"(["HtWKyYoUbZs","OceLj9Qi5w0"])";
  const auto answer = [&](std::string one, std::string two, const std::string& cluster = "edge") {
    daemon.Answer(
        "GET /v1/keys/status?ask=1",
        R"({"schema":"sotto.key_status/1","observer":"gw-1","as_of":"2026-11-21T14:02:11.120Z",
                      "complete":true,"data":{"cluster":")" +
            cluster + R"(","members":[
                    {"name":"gw-1","state":"alive","living":true,"keks":)" +
            one + R"(},{"name":"gw-2","state":"suspect","living":true,"keks":)" + two +
            R"(},{"name":"gw-3","state":"dead","living":false,"in_store":true,"keks":null}]}})");
  };
  answer(kBoth, kOld);
  const RunResult lacking = Kek({"check"}, Both());
  EXPECT_EQ(lacking.exit, 1) << lacking.err;
  ExpectGolden("kek_check_lacking.table.txt", lacking.out);
  answer(kBoth, kOld);
  const RunResult refused = Kek({"rekey"}, Both());
  EXPECT_EQ(refused.exit, 5) << refused.err;
  ExpectGolden("kek_rekey_refused.txt", refused.err);
  EXPECT_EQ(Value(), before);
  answer(kBoth, "null");
  const RunResult silent = Kek({"rekey"}, Both());
  EXPECT_TRUE(Has(silent.err, "gw-2 does not say what it has loaded")) << silent.err;
  EXPECT_EQ(Value(), before);
  answer(kBoth, "null");
  const RunResult partial = Kek({"check", "-o", "json"}, Both());
  EXPECT_EQ(partial.exit, 3) << partial.out;
  EXPECT_EQ(json::parse(partial.out).at("data").at("silent"), json::value(json::array{"gw-2"}));
  // Another cluster's word does not count.
  answer(kOld, kOld, "core");
  const RunResult other = Kek({"rekey", "--dry-run"}, Both());
  EXPECT_EQ(other.exit, 0) << other.err;
  EXPECT_TRUE(Has(other.err, "no sottod of this cluster answers here")) << other.err;

  answer(kBoth, kOld);
  const RunResult skipped = Kek({"rekey", "--skip", "gw-2", "--backup", Path("b")}, Both());
  EXPECT_EQ(skipped.exit, 0) << skipped.err;
  EXPECT_TRUE(Has(skipped.err, "absent: gw-3;")) << skipped.err;
  EXPECT_NE(Value(), before);
  // Nor back to one that a member has given up.
  answer(R"(["OceLj9Qi5w0"])", kBoth);
  const RunResult back = Kek({"rekey", "--rollback", Path("b")}, Both());
  EXPECT_EQ(back.exit, 5) << back.err;
  EXPECT_TRUE(Has(back.err, "gw-1 has not loaded HtWKyYoUbZs")) << back.err;
  answer(kBoth, kBoth);
  EXPECT_EQ(Kek({"rekey", "--rollback", Path("b")}, Both()).exit, 0);
  EXPECT_EQ(Value(), before);
}

TEST_F(KekVerbs, RekeyAndBack) {
  Import("old");
  const std::string before = Value();
  const RunResult dry = Kek({"rekey", "--dry-run"}, Both());
  EXPECT_EQ(dry.exit, 0) << dry.err;
  EXPECT_TRUE(Has(dry.out, "1 value would be wrapped under")) << dry.out;
  EXPECT_EQ(Value(), before);
  const RunResult done = Kek({"--progress", "plain", "rekey", "--backup", Path("b")}, Both());
  EXPECT_EQ(done.exit, 0) << done.err;
  EXPECT_TRUE(Has(done.err, "backup\n")) << done.err;
  EXPECT_TRUE(Has(done.err, "commit\n")) << done.err;
  ExpectNoSecret(done);
  EXPECT_NE(Value(), before);
  EXPECT_TRUE(Has(ReadAll(Path("b")), before));
  EXPECT_EQ(Kek({"ls"}, "file:" + Path("keks/new")).exit, 0);
  const RunResult again = Kek({"rekey"}, Both());
  EXPECT_TRUE(Has(again.out, "0 values wrapped")) << again.out;

  const RunResult unset = Kek({"rekey", "--backup", ""}, Both());
  EXPECT_EQ(unset.exit, 2) << unset.err;

  const RunResult blind = Kek({"rekey", "--rollback", Path("b")}, "file:" + Path("keks/new"));
  EXPECT_TRUE(Has(blind.err, "KEK_MISSING")) << blind.err;
  const RunResult back = Kek({"rekey", "--rollback", Path("b")}, Both());
  EXPECT_EQ(back.exit, 0) << back.err;
  EXPECT_EQ(Value(), before);
  // Another key is there by now: told, and left alone.
  RawSqlite(Path("s.db")).SetRow("ClusterEncryptionKey", kPlainKey);
  Secret("other.key", "gIWKj5SZnqOorbK3vMHGy9DV2t/k6e7z\n");
  RawSqlite(Path("s.db")).Run("DELETE FROM Systems");
  ASSERT_EQ(RunSotto({"keys", "import", "--from", Path("other.key"), "--cluster", "edge", "--store",
                      "sqlite:" + Path("s.db"), "--kek", "file:" + Path("keks/new")})
                .exit,
            0);
  const RunResult skipped = Kek({"rekey", "--rollback", Path("b")}, Both());
  EXPECT_EQ(skipped.exit, 3) << skipped.err;
  EXPECT_TRUE(Has(skipped.err, "skipped the row ClusterEncryptionKey")) << skipped.err;
}

TEST_F(KekVerbs, AStoreIsCopiedAndTheNextStepsAreSaid) {
  Import("new");
  const std::vector<std::string> words = {
      "store",     "copy", "--from", "sqlite:" + Path("s.db"), "--to", "sqlite:" + Path("t.db"),
      "--cluster", "edge"};
  const RunResult done = RunSotto(words);
  EXPECT_EQ(done.exit, 0) << done.err;
  EXPECT_TRUE(Has(done.out, "copied and compared")) << done.out;
  EXPECT_TRUE(Has(done.err, "set store.url = \"sqlite:" + Path("t.db") + "\" (")) << done.err;
  ExpectNoSecret(done);
  EXPECT_EQ(RawSqlite(Path("t.db")).Run("SELECT Value FROM Systems"), Value());
  EXPECT_EQ(RawSqlite(Path("s.db")).Run("SELECT MovedTo FROM ClusterMoves"),
            "sqlite:" + Path("t.db"));
  struct stat info {};
  ASSERT_EQ(stat(Path("t.db").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  const RunResult again = RunSotto(words);
  EXPECT_EQ(again.exit, 0) << again.err;
  EXPECT_TRUE(Has(again.out, "was copied before")) << again.out;
  const RunResult moved = Kek({"rekey"}, Both());
  EXPECT_EQ(moved.exit, 5) << moved.err;
  EXPECT_TRUE(Has(moved.err, "STORE_MOVED")) << moved.err;
  // The same file, spelled otherwise.
  const RunResult same = RunSotto({"store", "copy", "--from", "sqlite:" + Path("t.db"), "--to",
                                   "sqlite:" + Path("keks/../t.db"), "--cluster", "edge"});
  EXPECT_TRUE(Has(same.err, "STORE_SAME")) << same.err;
}

}  // namespace
}  // namespace sotto::testing
