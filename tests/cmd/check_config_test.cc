#include "cmd/config/check_config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "store/cluster_key.h"
#include "store/kek_source.h"
#include "store/open_store.h"
#include "tests/support/other_user.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_pki.h"

namespace sotto {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

// A folder with everything that a node needs; each test spoils one thing.
class CheckConfigTest : public testing::Test {
 protected:
  CheckConfigTest() : pki_("edge") {
    Write("ca.crt", pki_.ca_pem(), 0644);
    Put(pki_.Issue("gw-1"));
    const auto table = OpenSystemsTable("sqlite:" + dir_.File("s.db"), {.create = true});
    SOTTO_CHECK(table.ok());
    SOTTO_CHECK(LoadOrCreateClusterKey(**table, "edge", {.may_create = true}).ok());
  }

  void Write(const std::string& name, const std::string& text, mode_t mode) {
    std::ofstream(dir_.File(name)) << text;
    SOTTO_CHECK(chmod(dir_.File(name).c_str(), mode) == 0);
  }

  void Put(const PemPair& pair) {
    Write("node.crt", pair.certificate_pem, 0644);
    Write("node.key", pair.key_pem, 0600);
  }

  // "error CERT_EXPIRED sync.tls.cert" for each finding.
  std::vector<std::string> Check(const std::string& more = "",
                                 const std::string& url = "sqlite:s.db") {
    const std::string text =
        std::string(
            "node.cluster = 'edge'\nnode.name = 'gw-1'\nnode.state_dir = 'state'\n"
            "sync.tls.ca = 'ca.crt'\nsync.tls.cert = 'node.crt'\nsync.tls.key = 'node.key'\n"
            "store.url = '") +
        url + "'\n" +
        (more.find("gossip.bind") == std::string::npos ? "gossip.bind = '127.0.0.1:7950'\n" : "") +
        (more.find("gossip.") == std::string::npos ? "gossip.advertise = '10.9.8.7:7950'\n" : "") +
        more;
    loaded_ = LoadConfigText(text, dir_.File("sottod.toml"));
    findings_ = CheckConfig(loaded_, {.now_unix_s = pki_.now()});
    std::vector<std::string> words;
    for (const ConfigFinding& finding : findings_) {
      const std::string key = finding.message.substr(0, finding.message.find_first_of(": "));
      words.push_back(std::string(ToString(finding.level)) + " " + finding.code + " " + key);
    }
    return words;
  }

  TempDir dir_;
  TestPki pki_;
  ConfigResult loaded_;
  std::vector<ConfigFinding> findings_;
};

TEST_F(CheckConfigTest, FindsNothingWhereAllIsWell) {
  EXPECT_THAT(Check(), IsEmpty());
  EXPECT_NE(access(dir_.File("state").c_str(), F_OK), 0) << "the check made a folder";
}

TEST_F(CheckConfigTest, JudgesTheFiles) {
  chmod(dir_.File("node.key").c_str(), 0644);
  EXPECT_THAT(Check(), ElementsAre("error SECRET_READABLE sync.tls.key"));
  EXPECT_EQ(findings_[0].fix, "chmod 0600 " + dir_.File("node.key"));
  EXPECT_EQ(findings_[0].where, dir_.File("sottod.toml") + ":6:16");
  chmod(dir_.File("node.key").c_str(), 0600);
  chmod(dir_.File("ca.crt").c_str(), 0666);
  EXPECT_THAT(Check(), ElementsAre("error FILE_WRITABLE sync.tls.ca"));
  chmod(dir_.File("ca.crt").c_str(), 0644);
  unlink(dir_.File("node.crt").c_str());
  EXPECT_THAT(Check("sync.tls.crl = 'none'\n"),
              ElementsAre("error FILE_MISSING sync.tls.cert", "error FILE_MISSING sync.tls.crl"));
}

TEST_F(CheckConfigTest, JudgesTheCertificate) {
  struct {
    const char* name;
    PemPair pair;
    const char* finding;
  } const rows[] = {
      {"another node's", pki_.Issue("gw-2"), "error CERT_WRONG_NAME sync.tls.cert"},
      {"another CA of the same name", TestPki("edge").Issue("gw-1"),
       "error CERT_UNTRUSTED sync.tls.cert"},
      {"another cluster's", TestPki("other").Issue("gw-1"), "error CERT_UNTRUSTED sync.tls.cert"},
  };
  for (const auto& row : rows) {
    Put(row.pair);
    EXPECT_THAT(Check(), ElementsAre(row.finding)) << row.name;
  }
  IssueRequest expired = pki_.Request("gw-1");
  expired.not_before_unix_s = pki_.now() - 1000;
  expired.not_after_unix_s = pki_.now() - 10;
  Put(pki_.Issue(expired));
  EXPECT_THAT(Check(), ElementsAre("error CERT_EXPIRED sync.tls.cert"));
  IssueRequest soon = pki_.Request("gw-1");
  soon.not_after_unix_s = pki_.now() + 3 * 86'400;
  Put(pki_.Issue(soon));
  EXPECT_THAT(Check(), ElementsAre("warning CERT_EXPIRES_SOON sync.tls.cert"));
  Put(pki_.Issue("gw-1"));
  Write("node.key", pki_.Issue("gw-1").key_pem, 0600);
  EXPECT_THAT(Check(), ElementsAre("error CERT_KEY_MISMATCH sync.tls.cert"));
  Put(pki_.Issue("gw-1"));
  Write("ca.crt", "nothing", 0644);
  EXPECT_THAT(Check(), ElementsAre("error CA_UNREADABLE sync.tls.ca"));
}

TEST_F(CheckConfigTest, JudgesAddresses) {
  EXPECT_THAT(Check("gossip.bind = '0.0.0.0:7950'\n"),
              ElementsAre("error ADDRESS_WILDCARD gossip.bind"));
  EXPECT_THAT(Check("gossip.bind = '203.0.113.1:7950'\ngossip.advertise = '10.9.8.7:7950'\n"),
              ElementsAre("error ADDRESS_NOT_LOCAL gossip.bind"));
  EXPECT_THAT(Check("gossip.bind = '[::]:7950'\ngossip.advertise = '10.9.8.7:7950'\n"), IsEmpty());
  EXPECT_THAT(Check("gossip.advertise = '0.0.0.0:7950'\n"),
              ElementsAre("error ADDRESS_WILDCARD gossip.advertise"));
  EXPECT_THAT(Check("gossip.advertise = '224.0.0.1:7950'\n"),
              ElementsAre("error ADDRESS_UNROUTABLE gossip.advertise"));
  EXPECT_THAT(Check("gossip.bind = '127.0.0.1:7950'\n"),
              ElementsAre("note ADDRESS_LOOPBACK gossip.bind"));
  EXPECT_THAT(Check("gossip.bind = '127.0.0.1:7950'\ngossip.join = '10.9.8.6:7950'\n"),
              ElementsAre("warning ADDRESS_LOOPBACK gossip.bind"));
  EXPECT_THAT(Check("gossip.advertise = '10.9.8.7:7950'\ngossip.join = '[fd00::1]:7950'\n"),
              ElementsAre("warning ADDRESS_FAMILY gossip.join"));
}

TEST_F(CheckConfigTest, JudgesTheKek) {
  const std::string kek = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
  std::filesystem::create_directory(dir_.File("kek"));
  ASSERT_EQ(chmod(dir_.File("kek").c_str(), 0700), 0);
  const std::string setting = "encryption.kek = 'file:kek/a'\n";
  EXPECT_THAT(Check(setting), ElementsAre("error FILE_MISSING encryption.kek"));
  Write("kek/a", kek, 0640);
  EXPECT_THAT(Check(setting), ElementsAre("error SECRET_READABLE encryption.kek"));
  EXPECT_EQ(findings_[0].fix, "chmod 0600 " + dir_.File("kek/a"));
  Write("kek/a", kek, 0600);
  // The row was made without a KEK.
  EXPECT_THAT(Check(setting), ElementsAre("error KEY_PLAIN_REFUSED store.url"));
  EXPECT_THAT(Check(setting + "encryption.accept_plain_update = true\n"), IsEmpty());
  {
    const auto table = OpenSystemsTable("sqlite:" + dir_.File("s.db"));
    const auto keks = LookAtKeks({.source = "file:" + dir_.File("kek/a")});
    SOTTO_ASSERT_OK(keks);
    const KeyPolicy policy{.keks = *keks, .accept_plain = true};
    const auto plain = LoadClusterKey(**table, "edge", policy);
    SOTTO_ASSERT_OK(plain);
    SOTTO_ASSERT_OK(ImportClusterKey(**table, plain->key, policy, false));
  }
  EXPECT_THAT(Check(setting), IsEmpty());
  EXPECT_THAT(Check(), ElementsAre("error KEK_MISSING store.url"));
  // What only the daemon sees is a note, and the wrapped row is then no error.
  EXPECT_THAT(Check("encryption.kek = 'credential:kek'\n"),
              ElementsAre("note KEK_NO_CREDENTIALS encryption.kek"));
  EXPECT_THAT(Check("encryption.kek = 'env:SOTTO_TEST_KEK'\n"),
              ElementsAre("note KEK_VARIABLE_MISSING encryption.kek"));
  Write("b", kek, 0600);
  EXPECT_THAT(Check("encryption.kek = 'file:b'\n"),
              ElementsAre("warning KEK_BESIDE_STORE encryption.kek"));
}

TEST_F(CheckConfigTest, JudgesTheStore) {
  EXPECT_THAT(Check("store.create = true\n"), IsEmpty());
  chmod(dir_.File("s.db").c_str(), 0644);
  EXPECT_THAT(Check(), ElementsAre("error SECRET_READABLE store.url"));
  for (const char* name : {"s.db", "s.db-wal", "s.db-shm"}) unlink(dir_.File(name).c_str());
  EXPECT_THAT(Check(), ElementsAre("error DB_MISSING store.url"));
  EXPECT_THAT(Check("store.create = true\n"), ElementsAre("note DB_MISSING store.url"));
  EXPECT_NE(access(dir_.File("s.db").c_str(), F_OK), 0) << "the check made a database";
  SOTTO_ASSERT_OK(OpenSystemsTable("sqlite:" + dir_.File("s.db"), {.create = true}));
  EXPECT_THAT(Check(), ElementsAre("note KEY_MISSING store.url"));
  // Others on this machine may have one in a file of theirs.
  EXPECT_THAT(Check("gossip.join = '127.0.0.1:7951'\n"),
              testing::Contains("warning KEY_MISSING store.url"));
  // Another machine may hold the key already: none is made here.
  EXPECT_THAT(Check("gossip.advertise = '10.9.8.7:7950'\ngossip.join = '10.9.8.6:7950'\n"),
              ElementsAre("error KEY_MISSING store.url"));
}

TEST_F(CheckConfigTest, JudgesAServer) {
  // What may pass by itself is no fault of the file.
  const std::string url = "postgres://me@127.0.0.1:1/app?sslmode=disable";
  EXPECT_THAT(Check("", url), ElementsAre("warning DB_REFUSED store.url"));
  EXPECT_THAT(Check("", "mysql://me@127.0.0.1:1/app?ssl-mode=DISABLED"),
              ElementsAre("warning DB_REFUSED store.url"));
  EXPECT_THAT(Check("", "postgres://me@db.invalid/app?sslrootcert=" + dir_.File("ca.crt")),
              ElementsAre("warning DB_HOST_UNKNOWN store.url"));
  EXPECT_THAT(Check("", "postgres://me@db.invalid/app?sslrootcert=" + dir_.File("none")),
              ElementsAre("error FILE_MISSING store.url"));
  EXPECT_THAT(Check("store.password_file = 'sql.pass'\n", url),
              ElementsAre("error FILE_MISSING store.password_file"));
  Write("sql.pass", "hunter2\n", 0640);
  EXPECT_THAT(Check("store.password_file = 'sql.pass'\n", url),
              ElementsAre("error SECRET_READABLE store.password_file"));
  Write("sql.pass", "hunter2\n", 0600);
  EXPECT_THAT(Check("store.password_file = 'sql.pass'\n", url),
              ElementsAre("warning DB_REFUSED store.url"));
  EXPECT_THAT(Check("store.password = 'env:SOTTO_TEST_NO_SUCH'\n", url),
              ElementsAre("error SECRET_MISSING store.password"));
}

TEST_F(CheckConfigTest, MayMintAKeyOnAServerWhateverTheContacts) {
  Check("gossip.advertise = '10.9.8.7:7950'\ngossip.join = '10.9.8.6:7950'\n");
  EXPECT_FALSE(IsServerStore(loaded_.config));
  EXPECT_FALSE(MayMintKey(loaded_.config));
  Check("gossip.advertise = '10.9.8.7:7950'\ngossip.join = '10.9.8.6:7950'\n",
        "postgres://me@127.0.0.1:1/app?sslmode=disable");
  EXPECT_TRUE(IsServerStore(loaded_.config));
  EXPECT_TRUE(MayMintKey(loaded_.config));
}

TEST_F(CheckConfigTest, JudgesFolderAndGroup) {
  Write("file", "", 0644);
  EXPECT_THAT(Check("admin.group = 'no-such-group-here'\n"),
              ElementsAre("error ADMIN_GROUP_UNKNOWN admin.group"));
  EXPECT_THAT(Check("admin.group = 'root'\n"), IsEmpty());
  chmod(dir_.path().c_str(), 0755);
  if (geteuid() != 0) return;
  EXPECT_EQ(AsOtherUser([&] {
              const ConfigResult loaded =
                  LoadConfigText("node.state_dir = 'state'\n", dir_.File("f.toml"));
              std::string codes;
              for (const auto& f : CheckConfig(loaded, {.open_store = false})) {
                if (f.code == "STATE_UNWRITABLE") codes += f.code;
              }
              return codes;
            }),
            "STATE_UNWRITABLE");
}

TEST_F(CheckConfigTest, TellsErrorsOfBothKindsAtOnce) {
  chmod(dir_.File("node.key").c_str(), 0640);
  EXPECT_THAT(Check("log.levle = 'info'\n"), ElementsAre("error CONFIG_UNKNOWN_KEY unknown",
                                                         "error SECRET_READABLE sync.tls.key"));
}

TEST_F(CheckConfigTest, ReadsTheFourFiles) {
  Check();
  const auto files = ReadTlsFiles(loaded_.config);
  SOTTO_ASSERT_OK(files);
  EXPECT_EQ(files->ca_pem, pki_.ca_pem());
  EXPECT_TRUE(files->crl_pem.empty());
  EXPECT_NE(files->key_pem.find("PRIVATE KEY"), std::string::npos);
  chmod(dir_.File("node.key").c_str(), 0604);
  const auto refused = ReadTlsFiles(loaded_.config);
  EXPECT_THAT(refused, HasCode("SECRET_READABLE"));
  EXPECT_NE(refused.status().message().find("sync.tls.key"), absl::string_view::npos);
}

TEST_F(CheckConfigTest, MintsOnlyWhereNoOtherMachineIsMeant) {
  Check();
  EXPECT_TRUE(MayMintKey(loaded_.config));
  Check("gossip.join = ['127.0.0.1:7951', '127.0.0.1:7952']\n");
  EXPECT_TRUE(MayMintKey(loaded_.config));
  Check("gossip.join = ['127.0.0.1:7952', 'gw-2.internal']\n");
  EXPECT_FALSE(MayMintKey(loaded_.config));
}

}  // namespace
}  // namespace sotto
