// The verbs that work on files: keys, certificates, the configuration.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "crypto/certificate.h"
#include "tests/cmd/fake_daemon.h"
#include "tests/support/temp_dir.h"

namespace sotto::testing {
namespace {

namespace json = boost::json;

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

void WriteSecret(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
  chmod(path.c_str(), 0600);
}

// The data of a JSON answer.
json::value DataOf(const RunResult& result) {
  EXPECT_EQ(result.exit, 0) << result.err;
  return json::parse(result.out).at("data");
}

class Files : public ::testing::Test {
 protected:
  // A configuration with its store, without certificates.
  void Init() {
    const RunResult result =
        RunSotto({"--config", Config(), "config", "init", "--cluster", "edge-prod", "--name",
                  "gw-1", "--bind", "127.0.0.1:7950", "--create-store"});
    ASSERT_EQ(result.exit, 0) << result.err;
  }
  std::string Config() const { return dir_.File("c/sottod.toml"); }
  std::string Key() const { return dir_.File("cluster.key"); }

  TempDir dir_;
};

TEST_F(Files, AGeneratedKeyGoesToItsFileAlone) {
  for (const auto& [bits, length] : {std::pair{"128", 24}, {"192", 32}, {"256", 44}}) {
    const std::string file = dir_.File(std::string("k") + bits);
    const RunResult result =
        RunSotto({"keys", "generate", "--to", file, "--bits", bits, "--cluster", "edge-prod"});
    EXPECT_EQ(result.exit, 0) << result.err;
    const std::string key = ReadAll(file);
    EXPECT_EQ(key.size(), static_cast<size_t>(length) + 1);
    EXPECT_EQ(ModeOf(file), 0600u);
    // "9f3c-21aa" and nothing more.
    EXPECT_EQ(result.out.size(), 10u) << result.out;
    EXPECT_EQ(result.out[4], '-');
    EXPECT_FALSE(Has(result.out + result.err, key.substr(0, 20)));
  }
}

TEST_F(Files, AKeyFileIsNeverOverwritten) {
  WriteSecret(Key(), "old");
  const RunResult result = RunSotto({"keys", "generate", "--to", Key(), "--cluster", "edge-prod"});
  EXPECT_EQ(result.exit, 5);
  EXPECT_TRUE(Has(result.err, "refused FILE_EXISTS")) << result.err;
  EXPECT_EQ(ReadAll(Key()), "old");
}

TEST_F(Files, TheClustersNameIsPartOfTheFingerprint) {
  const RunResult nameless =
      RunSotto({"--config", dir_.File("none.toml"), "keys", "generate", "--to", Key()});
  EXPECT_EQ(nameless.exit, 1);
  EXPECT_TRUE(Has(nameless.err, "add --cluster NAME")) << nameless.err;
  EXPECT_FALSE(std::filesystem::exists(Key()));
  EXPECT_EQ(RunSotto({"keys", "generate", "--to", Key(), "--cluster", "a b"}).exit, 2);
}

TEST_F(Files, AnImportedKeyHasTheFingerprintOfTheGeneratedOne) {
  Init();
  const RunResult made = RunSotto({"--config", Config(), "keys", "generate", "--to", Key()});
  ASSERT_EQ(made.exit, 0) << made.err;
  const std::string id = made.out.substr(0, 9);
  const json::value first =
      DataOf(RunSotto({"--config", Config(), "keys", "import", "--from", Key(), "-o", "json"}));
  EXPECT_EQ(first.at("id").as_string(), id);
  EXPECT_TRUE(first.at("created").as_bool());
  // The same key again changes nothing; from standard input it is the same key.
  RunOptions piped;
  piped.in = ReadAll(Key());
  const json::value again = DataOf(
      RunSotto({"--config", Config(), "keys", "import", "--from", "-", "-o", "json"}, piped));
  EXPECT_EQ(again.at("id").as_string(), id);
  EXPECT_FALSE(again.at("created").as_bool());
}

TEST_F(Files, AKekGoesToItsFileAloneAndWrapsWhatIsImported) {
  Init();
  const std::string kek = dir_.File("kek");
  const RunResult made = RunSotto({"kek", "generate", "--to", kek});
  ASSERT_EQ(made.exit, 0) << made.err;
  EXPECT_EQ(made.out.size(), 12u) << made.out;
  const std::string id = made.out.substr(0, 11);
  EXPECT_EQ(ModeOf(kek), 0600u);
  const std::string text = ReadAll(kek);
  EXPECT_EQ(text.size(), 45u);
  EXPECT_FALSE(Has(made.out + made.err, text.substr(0, 8)));
  EXPECT_EQ(RunSotto({"kek", "generate", "--to", kek}).exit, 5) << "never over another one";
  EXPECT_EQ(ReadAll(kek), text);

  ASSERT_EQ(RunSotto({"--config", Config(), "keys", "generate", "--to", Key()}).exit, 0);
  // A plain row first, then the same key with a KEK: wrapped in place.
  ASSERT_EQ(RunSotto({"--config", Config(), "keys", "import", "--from", Key()}).exit, 0);
  std::ofstream(Config(), std::ios::app) << "[encryption]\nkek = \"file:" << kek << "\"\n";
  const json::value wrapped =
      DataOf(RunSotto({"--config", Config(), "keys", "import", "--from", Key(), "-o", "json"}));
  EXPECT_EQ(wrapped.at("kek").as_string(), id);
  EXPECT_TRUE(wrapped.at("created").as_bool());
  const std::string database = ReadAll(dir_.File("c/state/sotto.db"));
  EXPECT_TRUE(Has(database + ReadAll(dir_.File("c/state/sotto.db-wal")), "sottok1:" + id));
  const json::value again =
      DataOf(RunSotto({"--config", Config(), "keys", "import", "--from", Key(), "-o", "json"}));
  EXPECT_FALSE(again.at("created").as_bool());
  // Without the KEK there is no telling which key the row holds.
  const RunResult blind = RunSotto({"keys", "import", "--from", Key(), "--cluster", "edge-prod",
                                    "--store", "sqlite:" + dir_.File("c/state/sotto.db")});
  EXPECT_TRUE(Has(blind.err, "KEY_EXISTS")) << blind.err;
  const RunResult named =
      RunSotto({"keys", "import", "--from", Key(), "--cluster", "edge-prod", "--kek", "file:" + kek,
                "--store", "sqlite:" + dir_.File("c/state/sotto.db")});
  EXPECT_EQ(named.exit, 0) << named.err;
  EXPECT_EQ(chmod(kek.c_str(), 0644), 0);
  const RunResult open = RunSotto({"--config", Config(), "keys", "import", "--from", Key()});
  EXPECT_TRUE(Has(open.err, "SECRET_READABLE")) << open.err;
}

TEST_F(Files, AnotherKeyIsRefused) {
  Init();
  ASSERT_EQ(RunSotto({"--config", Config(), "keys", "generate", "--to", Key()}).exit, 0);
  ASSERT_EQ(RunSotto({"--config", Config(), "keys", "import", "--from", Key()}).exit, 0);
  ASSERT_EQ(RunSotto({"--config", Config(), "keys", "generate", "--to", dir_.File("other")}).exit,
            0);
  const RunResult result =
      RunSotto({"--config", Config(), "keys", "import", "--from", dir_.File("other")});
  EXPECT_EQ(result.exit, 5);
  EXPECT_TRUE(Has(result.err, "refused KEY_EXISTS")) << result.err;
}

TEST_F(Files, ThePreparedKeyLiesBesideTheOneInUse) {
  Init();
  ASSERT_EQ(RunSotto({"--config", Config(), "keys", "generate", "--to", Key()}).exit, 0);
  const std::vector<std::string> import = {"--config", Config(), "keys",
                                           "import",   "--from", dir_.File("new"),
                                           "-o",       "json",   "--prepared"};
  ASSERT_EQ(RunSotto({"--config", Config(), "keys", "generate", "--to", dir_.File("new")}).exit, 0);
  // There must be a key in use.
  EXPECT_TRUE(Has(RunSotto(import).err, "KEY_MISSING"));
  ASSERT_EQ(RunSotto({"--config", Config(), "keys", "import", "--from", Key()}).exit, 0);
  const RunResult first = RunSotto(import);
  ASSERT_EQ(first.exit, 0) << first.err;
  EXPECT_TRUE(Has(first.err, "sotto keys activate 2")) << first.err;
  const auto data = DataOf(first);
  EXPECT_EQ(data.at("generation").to_number<int>(), 2);
  EXPECT_EQ(data.at("state").as_string(), "prepared");
  EXPECT_TRUE(data.at("created").as_bool());
  // The same again is nothing new, another one beside it is refused, and so is the one in use.
  EXPECT_FALSE(DataOf(RunSotto(import)).at("created").as_bool());
  ASSERT_EQ(RunSotto({"--config", Config(), "keys", "generate", "--to", dir_.File("third")}).exit,
            0);
  for (const std::string& other : {dir_.File("third"), Key()}) {
    const RunResult refused =
        RunSotto({"--config", Config(), "keys", "import", "--prepared", "--from", other});
    EXPECT_EQ(refused.exit, 5) << refused.err;
    EXPECT_TRUE(Has(refused.err, "refused KEY_STATE")) << refused.err;
  }
  // The row in use is as it was.
  EXPECT_FALSE(
      DataOf(RunSotto({"--config", Config(), "keys", "import", "--from", Key(), "-o", "json"}))
          .at("created")
          .as_bool());
}

TEST_F(Files, BadKeysEachHaveTheirCodeAndAreNeverShown) {
  Init();
  const std::string url = "sqlite:" + dir_.File("c/state/sotto.db");
  const std::pair<std::string, std::string> rows[] = {
      {"", "KEY_EMPTY"},
      {"\n", "KEY_EMPTY"},
      {"not base64 at all", "KEY_BAD_BASE64"},
      {"AAECAwQFBgcICQoLDA0ODw", "KEY_BAD_BASE64"},
      {"AAECAwQFBgcICQoLDA0O", "KEY_BAD_LENGTH"},
      {"00112233445566778899aabbccddeeff", "KEY_LOOKS_HEX"},
      {"cGFzc3dvcmRwYXNzd29yZA==", "KEY_WEAK"},
      {std::string(1025, 'A'), "KEY_TOO_LONG"},
  };
  for (const auto& [text, code] : rows) {
    WriteSecret(Key(), text);
    const RunResult result =
        RunSotto({"keys", "import", "--from", Key(), "--store", url, "--cluster", "edge-prod"});
    EXPECT_EQ(result.exit, 1) << code;
    EXPECT_TRUE(Has(result.err, "error " + code)) << result.err;
    if (text.size() > 8) {
      EXPECT_FALSE(Has(result.out + result.err, text.substr(0, 16)));
    }
  }
  chmod(Key().c_str(), 0644);
  const RunResult open =
      RunSotto({"keys", "import", "--from", Key(), "--store", url, "--cluster", "edge-prod"});
  EXPECT_EQ(open.exit, 5);
  EXPECT_TRUE(Has(open.err, "SECRET_READABLE")) << open.err;
}

TEST_F(Files, AKeyIsNotTypedAtATerminal) {
  Init();
  RunOptions terminal;
  terminal.in_is_terminal = true;
  const RunResult result =
      RunSotto({"--config", Config(), "keys", "import", "--from", "-"}, terminal);
  EXPECT_EQ(result.exit, 2) << result.err;
}

TEST_F(Files, AMissingStoreIsNotMadeByAnImport) {
  ASSERT_EQ(RunSotto({"keys", "generate", "--to", Key(), "--cluster", "c"}).exit, 0);
  const std::string db = dir_.File("none.db");
  const RunResult result =
      RunSotto({"keys", "import", "--from", Key(), "--store", "sqlite:" + db, "--cluster", "c"});
  EXPECT_EQ(result.exit, 1);
  EXPECT_TRUE(Has(result.err, "DB_MISSING")) << result.err;
  EXPECT_FALSE(std::filesystem::exists(db));
  const RunResult server = RunSotto({"keys", "import", "--from", Key(), "--store",
                                     "postgres://u:hunter2@h/db", "--cluster", "c"});
  EXPECT_TRUE(Has(server.err, "STORE_URL_INVALID")) << server.err;
  EXPECT_FALSE(Has(server.err, "hunter2")) << server.err;
}

class Certs : public Files {
 protected:
  RunResult Sotto(std::vector<std::string> args) {
    args.insert(args.end(), {"--dir", Pki()});
    return RunSotto(args);
  }
  void Create() {
    const RunResult result = Sotto({"certs", "ca", "create", "--cluster", "edge-prod"});
    ASSERT_EQ(result.exit, 0) << result.err;
  }
  std::string Pki() const { return dir_.File("pki"); }
};

TEST_F(Certs, AnIssuedCertificateSpeaksForItsNode) {
  Create();
  EXPECT_EQ(ModeOf(Pki() + "/ca.key"), 0600u);
  EXPECT_EQ(ModeOf(Pki() + "/ca.crt"), 0644u);
  const RunResult issued = Sotto({"certs", "issue", "gw-1", "gw-2", "--days", "7"});
  ASSERT_EQ(issued.exit, 0) << issued.err;
  EXPECT_TRUE(Has(issued.out, "sotto://edge-prod/node/gw-2")) << issued.out;
  EXPECT_EQ(ModeOf(Pki() + "/gw-1.key"), 0600u);
  EXPECT_EQ(ModeOf(Pki() + "/gw-1.crt"), 0644u);
  const auto trust = TrustStore::Create(ReadAll(Pki() + "/ca.crt"), "", "edge-prod", 1);
  ASSERT_TRUE(trust.ok()) << trust.status();
  const auto leaf = Certificate::FromPem(ReadAll(Pki() + "/gw-1.crt"));
  ASSERT_TRUE(leaf.ok());
  const auto identity = (*trust)->Verify(**leaf, {}, CertificateRole::kNode, time(nullptr));
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->name, "gw-1");
  EXPECT_NEAR(static_cast<double>((*leaf)->not_after_unix_s() - time(nullptr)), 7 * 86'400.0, 60);
  EXPECT_TRUE(
      Credentials::FromPem(ReadAll(Pki() + "/gw-1.crt"), ReadAll(Pki() + "/gw-1.key")).ok());
}

TEST_F(Certs, AnAdminIsNoNode) {
  Create();
  ASSERT_EQ(Sotto({"certs", "issue", "ann", "--admin", "--kind", "ed25519"}).exit, 0);
  const auto leaf = Certificate::FromPem(ReadAll(Pki() + "/ann.crt"));
  ASSERT_TRUE(leaf.ok());
  EXPECT_EQ(ToUri(*(*leaf)->Identity()), "sotto://edge-prod/admin/ann");
}

TEST_F(Certs, NothingIsOverwritten) {
  Create();
  const std::string before = ReadAll(Pki() + "/ca.crt");
  const RunResult again = Sotto({"certs", "ca", "create", "--cluster", "other"});
  EXPECT_EQ(again.exit, 5);
  EXPECT_TRUE(Has(again.err, "refused FILE_EXISTS")) << again.err;
  EXPECT_EQ(ReadAll(Pki() + "/ca.crt"), before);
  ASSERT_EQ(Sotto({"certs", "issue", "gw-1"}).exit, 0);
  // All names are looked at first: gw-0 is not made either.
  EXPECT_EQ(Sotto({"certs", "issue", "gw-0", "gw-1"}).exit, 5);
  EXPECT_FALSE(std::filesystem::exists(Pki() + "/gw-0.key"));
  EXPECT_EQ(Sotto({"certs", "issue", "ca"}).exit, 5);
  EXPECT_EQ(ReadAll(Pki() + "/ca.crt"), before);
}

TEST_F(Certs, BadNamesAreRefusedBeforeAnythingIsWritten) {
  Create();
  for (const std::string& name :
       {std::string("../x"), std::string("a/b"), std::string(""), std::string("a b"),
        std::string("-x"), std::string(129, 'a'), std::string("x\n"), std::string(".x")}) {
    const RunResult result = Sotto({"certs", "issue", "fine", "--", name});
    EXPECT_NE(result.exit, 0) << name;
    EXPECT_FALSE(std::filesystem::exists(Pki() + "/fine.key")) << name;
  }
  EXPECT_EQ(Sotto({"certs", "issue", "a", "a"}).exit, 2);
  for (const char* cluster : {"a b", "a/b", "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddx"}) {
    EXPECT_EQ(
        RunSotto({"certs", "ca", "create", "--dir", dir_.File("p2"), "--cluster", cluster}).exit,
        2);
  }
  EXPECT_FALSE(std::filesystem::exists(dir_.File("p2")));
}

TEST_F(Certs, WithoutACaTheNextStepIsTold) {
  const RunResult result = Sotto({"certs", "issue", "gw-1"});
  EXPECT_EQ(result.exit, 1);
  EXPECT_TRUE(Has(result.err, "FILE_MISSING")) << result.err;
  EXPECT_TRUE(Has(result.err, "sotto certs ca create")) << result.err;
}

TEST_F(Certs, ListAndShowTellExpiryAndSurviveRubbish) {
  Create();
  ASSERT_EQ(Sotto({"certs", "issue", "gw-1", "--days", "2"}).exit, 0);
  const RunResult table = Sotto({"certs", "ls"});
  EXPECT_EQ(table.exit, 0) << table.err;
  EXPECT_TRUE(Has(table.out, "ca ")) << table.out;
  EXPECT_TRUE(Has(table.out, "sotto://edge-prod/node/gw-1")) << table.out;
  const json::value rows = DataOf(Sotto({"certs", "ls", "-o", "json"}));
  ASSERT_EQ(rows.as_array().size(), 2u);
  EXPECT_EQ(rows.at(0).at("use").as_string(), "ca");
  EXPECT_EQ(rows.at(1).at("state").as_string(), "ends soon");
  const json::value one = DataOf(Sotto({"certs", "show", "gw-1", "-o", "json"}));
  EXPECT_EQ(one, rows.at(1));
  EXPECT_TRUE(Has(Sotto({"certs", "show", Pki() + "/ca.crt"}).out, "O=edge-prod"));
  EXPECT_EQ(Sotto({"certs", "show", "nobody"}).exit, 1);
  std::ofstream(Pki() + "/odd.crt") << "rubbish";
  const RunResult odd = Sotto({"certs", "ls"});
  EXPECT_EQ(odd.exit, 3);
  EXPECT_TRUE(Has(odd.out, "unreadable")) << odd.out;
  EXPECT_TRUE(Has(odd.out, "gw-1")) << odd.out;
}

TEST_F(Files, InitWritesAConfigurationThatChecks) {
  Init();
  EXPECT_EQ(ModeOf(Config()), 0644u);
  EXPECT_EQ(ModeOf(dir_.File("c/state/sotto.db")), 0600u);
  const std::string before = ReadAll(Config());
  EXPECT_TRUE(Has(before, "edge-prod"));
  const RunResult again =
      RunSotto({"--config", Config(), "config", "init", "--cluster", "c", "--bind", "127.0.0.1:1"});
  EXPECT_EQ(again.exit, 5);
  EXPECT_EQ(ReadAll(Config()), before);
  const RunResult shallow = RunSotto({"--config", Config(), "config", "check", "--shallow"});
  EXPECT_EQ(shallow.exit, 0) << shallow.out;
  EXPECT_TRUE(Has(shallow.out, "0 errors, 0 warnings")) << shallow.out;
  EXPECT_TRUE(Has(shallow.out, ". Nothing was started.\n")) << shallow.out;
  // Deep: the certificates are not there yet.
  const RunResult deep = RunSotto({"--config", Config(), "config", "check"});
  EXPECT_EQ(deep.exit, 78);
  EXPECT_TRUE(Has(deep.out, "ca.crt")) << deep.out;
}

TEST_F(Files, InitWithoutAStoreMakesNone) {
  ASSERT_EQ(RunSotto({"--config", Config(), "config", "init", "--cluster", "c", "--bind",
                      "127.0.0.1:7950"})
                .exit,
            0);
  EXPECT_FALSE(std::filesystem::exists(dir_.File("c/state")));
  const RunResult bad = RunSotto({"--config", dir_.File("d/x.toml"), "config", "init", "--cluster",
                                  "c", "--bind", "nonsense:x:y"});
  EXPECT_EQ(bad.exit, 2) << bad.err;
  EXPECT_FALSE(std::filesystem::exists(dir_.File("d")));
}

TEST_F(Files, CheckNamesFileLineAndColumn) {
  std::ofstream(dir_.File("bad.toml")) << "[node]\ncluster = \"c\"\n[encription]\nx = 1\n";
  const RunResult result = RunSotto({"--config", dir_.File("bad.toml"), "config", "check"});
  EXPECT_EQ(result.exit, 78);
  EXPECT_TRUE(Has(result.out, dir_.File("bad.toml") + ":3:")) << result.out;
  EXPECT_TRUE(Has(result.out, "did you mean \"encryption\"?")) << result.out;
  EXPECT_TRUE(Has(result.out, ". Nothing was started.\n")) << result.out;
  const RunResult json_result =
      RunSotto({"--config", dir_.File("bad.toml"), "config", "check", "-o", "json"});
  EXPECT_EQ(json_result.exit, 78);
  EXPECT_EQ(json::parse(json_result.out).at("schema").as_string(), "sotto.findings/1");
  EXPECT_EQ(RunSotto({"--config", dir_.File("none.toml"), "config", "check"}).exit, 78);
}

TEST_F(Files, ShowTellsWhichLayerWon) {
  Init();
  const RunResult result = RunSotto(
      {"--config", Config(), "config", "show", "node.name", "log", "--origin", "-o", "tsv"});
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_TRUE(Has(result.out, "node.name\t\"gw-1\"\t" + Config() + ":")) << result.out;
  EXPECT_FALSE(Has(result.out, "node.cluster")) << result.out;
  setenv("SOTTO_LOG__LEVEL", "debug", 1);
  EXPECT_TRUE(
      Has(RunSotto({"--config", Config(), "config", "show", "--origin"}).out, "SOTTO_LOG__LEVEL"));
  unsetenv("SOTTO_LOG__LEVEL");
  const RunResult unknown = RunSotto({"--config", Config(), "config", "show", "node.nmae"});
  EXPECT_EQ(unknown.exit, 2);
  EXPECT_TRUE(Has(unknown.err, "did you mean \"node.name\"?")) << unknown.err;
}

TEST_F(Files, TheConfigurationNamesTheSocket) {
  const std::string socket = dir_.File("admin/s");
  std::filesystem::create_directory(dir_.File("admin"));
  ASSERT_EQ(RunSotto({"--config", Config(), "config", "init", "--cluster", "c", "--bind",
                      "127.0.0.1:7950", "--socket", socket})
                .exit,
            0);
  FakeDaemon daemon(socket);
  daemon.Answer("GET /v1/tags", kTagsJson);
  EXPECT_EQ(RunSotto({"--config", Config(), "tags"}).exit, 0);
  const RunResult missing = RunSotto({"--config", dir_.File("none.toml"), "tags"});
  EXPECT_EQ(missing.exit, 78) << missing.err;
}

}  // namespace
}  // namespace sotto::testing
