// From a node's folder to its options, and what stands in the way.
#include "store/node_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "crypto/authority.h"
#include "crypto/envelope.h"
#include "store/cluster_key.h"
#include "store/file_rules.h"
#include "store/kek_source.h"
#include "store/open_store.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_pki.h"

namespace sotto {
namespace {

constexpr char kPlainKey[] = "IAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

class NodeFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const PemPair pair = pki_.Issue("gw-1");
    for (const char* sub : {"/pki", "/state"}) {
      ASSERT_THAT(MakeFolders(folder_.path() + sub, 0700), IsOk());
    }
    Write("pki/ca.crt", pki_.ca_pem(), 0644);
    Write("pki/node.crt", pair.certificate_pem, 0644);
    Write("pki/node.key", pair.key_pem, 0600);
    auto table =
        OpenSystemsTable("sqlite:" + folder_.File("state/sotto.db"), StoreOptions{.create = true});
    ASSERT_THAT(table, IsOk());
    ASSERT_THAT((*table)->InsertIfAbsent(kClusterKeyRow, *GenerateKeyText(24)), IsOk());
  }

  void Write(const std::string& name, const std::string& text, mode_t mode) {
    ASSERT_THAT(AtomicWrite(folder_.File(name), text, mode), IsOk());
  }

  // The error of loading, which must have changed nothing.
  absl::Status Refused() {
    NodeOptions options;
    options.bind = {"127.0.0.1:0"};
    const absl::Status status = LoadNodeFiles(files_, &options);
    EXPECT_TRUE(options.name.empty() && options.tls.key_pem.empty() && options.keys.empty());
    EXPECT_EQ(1u, options.boot_number);
    EXPECT_EQ(nullptr, options.persist_boot);
    return status;
  }

  TestPki pki_;
  TempDir folder_;
  NodeFiles files_ = NodeFiles::In(folder_.path());
};

TEST_F(NodeFilesTest, OptionsThatStartANode) {
  NodeOptions options = NodeOptions::Local();
  options.bind = {"127.0.0.1:0"};
  ASSERT_THAT(LoadNodeFiles(files_, &options), IsOk());
  EXPECT_EQ("edge-prod", options.cluster);
  EXPECT_EQ("gw-1", options.name);
  EXPECT_EQ(AeadAlgorithm::kAes192Gcm, options.keys.front()->algorithm());
  EXPECT_EQ(1u, options.boot_number);
  EXPECT_THAT(options.Validate(), IsOk());
  auto node = Node::Start(std::move(options));
  ASSERT_THAT(node, IsOk());
  EXPECT_EQ("gw-1", (*node)->View()->members.front().name);
}

TEST_F(NodeFilesTest, EachLifeHasAHigherNumber) {
  NodeOptions options;
  ASSERT_THAT(LoadNodeFiles(files_, &options), IsOk());
  EXPECT_EQ(1u, options.boot_number);
  ASSERT_THAT(options.persist_boot(7), IsOk());
  // The folder is this life's until its options and its node are gone.
  EXPECT_THAT(Refused(), HasCode("STATE_IN_USE"));
  options = NodeOptions();
  ASSERT_THAT(LoadNodeFiles(files_, &options), IsOk());
  EXPECT_EQ(8u, options.boot_number);
}

TEST_F(NodeFilesTest, NamesThatAreSetStayAndMustFitTheCertificate) {
  NodeOptions options;
  options.bind = {"127.0.0.1:0"};
  options.name = "gw-2";
  ASSERT_THAT(LoadNodeFiles(files_, &options), IsOk());
  EXPECT_EQ("gw-2", options.name);
  EXPECT_EQ("edge-prod", options.cluster);
  EXPECT_THAT(Node::Start(std::move(options)), HasCode("CERT_WRONG_NAME"));
}

TEST_F(NodeFilesTest, AWrappedKeyNeedsItsKek) {
  const std::string kek = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
  Write("kek", kek, 0600);
  const auto wrap = [&](uint64_t generation) {
    const auto keks = LookAtKeks({.source = "file:" + folder_.File("kek")});
    ASSERT_THAT(keks, IsOk());
    const auto table = OpenSystemsTable(files_.store);
    ASSERT_THAT(table, IsOk());
    const auto old = (*table)->Get(kClusterKeyRow);
    ASSERT_THAT(old, IsOk());
    const ClusterKeyRef key =
        *ParseClusterKeyText(kPlainKey, "edge-prod", KeyPolicy{.keks = *keks});
    const auto numbered = ClusterKey::Create(key->secret().Clone(), "edge-prod", generation);
    ASSERT_THAT((*table)->Replace(kClusterKeyRow, *old, *WrapKey(**numbered, *(*keks)->active())),
                IsOk());
  };
  wrap(5);
  EXPECT_THAT(Refused(), HasCode("KEK_MISSING"));
  files_.kek = "file:" + folder_.File("none");
  EXPECT_THAT(Refused(), HasCode("FILE_MISSING"));
  files_.kek = "file:" + folder_.File("kek");
  {
    NodeOptions options;
    ASSERT_THAT(LoadNodeFiles(files_, &options), IsOk());
    EXPECT_EQ(5u, options.keys.front()->generation());
  }
  wrap(4);
  EXPECT_THAT(Refused(), HasCode("KEY_ROLLBACK"));
}

TEST_F(NodeFilesTest, WhatIsWrongIsNamed) {
  const auto begins = [](const absl::Status& status, const std::string& words) {
    return std::string(status.message()).rfind(words, 0) == 0;
  };
  ASSERT_EQ(0, chmod(files_.key.c_str(), 0640));
  EXPECT_THAT(Refused(), HasCode("SECRET_READABLE"));
  EXPECT_TRUE(begins(Refused(), "key: ")) << Refused();
  ASSERT_EQ(0, chmod(files_.key.c_str(), 0600));

  files_.crl = folder_.File("none.crl");
  EXPECT_THAT(Refused(), HasCode("FILE_MISSING"));
  EXPECT_TRUE(begins(Refused(), "crl: ")) << Refused();
  files_.crl.clear();

  files_.cert = files_.ca;  // a CA's has no name of a node
  EXPECT_THAT(Refused(), HasCode("CERT_NO_IDENTITY"));
  files_.cert = folder_.File("bad.crt");
  Write("bad.crt", "no certificate", 0644);
  EXPECT_THAT(Refused(), HasCode("CERT_UNREADABLE"));
  EXPECT_TRUE(begins(Refused(), "cert: ")) << Refused();
  files_.cert = folder_.File("pki/node.crt");

  files_.store = "sqlite:" + folder_.File("none.db");
  EXPECT_THAT(Refused(), HasCode("DB_MISSING"));
  files_.store = "postgres://u:pw@db/x";
  EXPECT_THAT(Refused(), HasCode("STORE_URL_INVALID"));
  EXPECT_TRUE(begins(Refused(), "store: ")) << Refused();
}

}  // namespace
}  // namespace sotto
