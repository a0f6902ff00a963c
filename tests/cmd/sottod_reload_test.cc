// Reload against real files and a target on paper: what is applied, what is named, and that a
// failure changes nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "cmd/sottod/reload.h"
#include "cmd/sottod/startup.h"
#include "gossip/base/coded_error.h"
#include "store/file_rules.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class FakeTarget final : public ReloadTarget {
 public:
  absl::Status ApplyTls(const TlsFiles& files) override {
    if (files.cert_pem == "bad") {
      return CodedError(absl::StatusCode::kPermissionDenied, "CERT_UNTRUSTED", "another CA");
    }
    cert = files.cert_pem;
    ++tls_calls;
    return absl::OkStatus();
  }
  absl::Status ApplyTags(const std::vector<Tag>& new_tags) override {
    if (refuse_tags) return absl::InvalidArgumentError("no");
    tags = new_tags;
    return absl::OkStatus();
  }
  void ApplyLogLevel(LogLevel new_level) override { level = new_level; }
  void ApplyHandlers(const std::vector<HandlerConfig>& new_handlers) override {
    handlers = new_handlers;
  }

  absl::StatusOr<KekRingRef> ReadKeks(const Config& config) override {
    return LookAtKeks(KekSettingsOf(config));
  }
  void ApplyKeks(const Config& config, const KekRingRef& new_keks) override {
    keks = new_keks;
    accept_plain = config.encryption.accept_plain_update;
    ++kek_calls;
  }

  KekRingRef keks;
  bool accept_plain = false;
  int kek_calls = 0;
  std::string cert = "first";
  int tls_calls = 0;
  bool refuse_tags = false;
  std::vector<Tag> tags;
  LogLevel level = LogLevel::kInfo;
  std::vector<HandlerConfig> handlers;
};

class ReloadTest : public testing::Test {
 protected:
  ReloadTest() {
    WriteFile("ca", "ca");
    WriteFile("cert", "first");
    WriteFile("key", "key");
    WriteConfig("info", "a", "127.0.0.1:7950");
    sources_.path = folder_.File("sottod.toml");
    ConfigResult started = LoadConfig(sources_);
    EXPECT_THAT(started.status(), IsOk());
    absl::StatusOr<TlsFiles> files = ReadTlsFiles(started.config);
    EXPECT_THAT(files, IsOk());
    reloader_ = std::make_unique<Reloader>(sources_, started, *files, nullptr, &target_);
  }

  void WriteFile(const std::string& name, const std::string& text) {
    SOTTO_ASSERT_OK(AtomicWrite(folder_.File(name), text, 0600));
  }

  void WriteConfig(const std::string& level, const std::string& zone, const std::string& bind) {
    WriteFile("sottod.toml", "[node]\ncluster = \"edge\"\nname = \"gw-1\"\ntags = { zone = \"" +
                                 zone + "\" }\nstate_dir = \"" + folder_.File("state") +
                                 "\"\n[gossip]\nbind = \"" + bind +
                                 "\"\n[store]\nurl = \"sqlite:" + folder_.File("db") +
                                 "\"\n[sync.tls]\nca = \"ca\"\ncert = \"cert\"\n" +
                                 "key = \"key\"\n[admin]\nsocket = \"" + folder_.File("s") +
                                 "\"\n[log]\nlevel = \"" + level + "\"\n");
  }

  TempDir folder_;
  ConfigSources sources_;
  FakeTarget target_;
  std::unique_ptr<Reloader> reloader_;
};

TEST_F(ReloadTest, NothingChangedAppliesNothing) {
  const auto summary = reloader_->Run();
  SOTTO_ASSERT_OK(summary);
  EXPECT_THAT(summary->applied, IsEmpty());
  EXPECT_THAT(summary->unchanged,
              ElementsAre("log.level", "node.tags", "handler", "sync.tls.ca", "sync.tls.cert",
                          "sync.tls.key", "sync.tls.crl", "encryption.kek"));
  EXPECT_THAT(summary->needs_restart, IsEmpty());
  EXPECT_EQ(target_.tls_calls, 0);
}

TEST_F(ReloadTest, LevelTagsAndARenewedCertificateAreApplied) {
  WriteConfig("debug", "b", "127.0.0.1:7950");
  WriteFile("cert", "second");
  const auto summary = reloader_->Run();
  SOTTO_ASSERT_OK(summary);
  EXPECT_THAT(summary->applied, ElementsAre("log.level", "node.tags", "sync.tls.cert"));
  EXPECT_EQ(target_.level, LogLevel::kDebug);
  EXPECT_THAT(target_.tags, ElementsAre(Tag{"zone", "b"}));
  EXPECT_EQ(target_.cert, "second");
  EXPECT_THAT(reloader_->Run()->applied, IsEmpty());
}

TEST_F(ReloadTest, KeksAreReadAgainAllOrNothing) {
  const auto append = [this](const std::string& text) {
    std::ofstream(folder_.File("sottod.toml"), std::ios::app) << text;
  };
  ASSERT_EQ(mkdir(folder_.File("keks").c_str(), 0700), 0);
  WriteFile("keks/a", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
  append("[encryption]\nkek = \"folder:keks\"\n");
  EXPECT_THAT(reloader_->Run()->applied, ElementsAre("encryption.kek"));
  ASSERT_NE(target_.keks, nullptr);
  const KekId first = target_.keks->active()->id();
  EXPECT_THAT(reloader_->Run()->applied, IsEmpty());
  EXPECT_EQ(target_.kek_calls, 1);
  // A second key, and nothing that says which one wraps: nothing changes, log level included.
  WriteFile("keks/b", "IAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
  append("[log.x]\n");
  EXPECT_THAT(reloader_->Run(), HasCode("RELOAD_FAILED"));
  WriteConfig("debug", "a", "127.0.0.1:7950");
  append("[encryption]\nkek = \"folder:keks\"\n");
  EXPECT_THAT(reloader_->Run(), HasCode("KEK_AMBIGUOUS"));
  EXPECT_EQ(target_.level, LogLevel::kInfo);
  EXPECT_EQ(target_.kek_calls, 1);
  append("kek_active = \"b\"\naccept_plain_update = true\n");
  EXPECT_THAT(reloader_->Run()->applied, ElementsAre("log.level", "encryption.kek"));
  EXPECT_NE(target_.keks->active()->id(), first);
  EXPECT_NE(target_.keks->Find(first), nullptr);
  EXPECT_TRUE(target_.accept_plain);
  // The key under the old name is another one.
  WriteFile("keks/b", "QAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
  EXPECT_THAT(reloader_->Run()->applied, ElementsAre("encryption.kek"));
  EXPECT_THAT(reloader_->Run()->needs_restart, IsEmpty());
}

TEST_F(ReloadTest, HandlersAreTakenOverUnlessAProgramMayNotBeRun) {
  std::ofstream(folder_.File("sottod.toml"), std::ios::app)
      << "[[handler]]\non = [\"*\"]\nrun = [\"/bin/sh\"]\n";
  const auto summary = reloader_->Run();
  SOTTO_ASSERT_OK(summary);
  EXPECT_THAT(summary->applied, ElementsAre("handler"));
  ASSERT_EQ(target_.handlers.size(), 1u);
  std::ofstream(folder_.File("sottod.toml"), std::ios::app)
      << "[[handler]]\non = [\"*\"]\nrun = [\"/no/such/program\"]\n";
  EXPECT_THAT(reloader_->Run(), HasCode("FILE_MISSING"));
  EXPECT_EQ(target_.handlers.size(), 1u);
}

TEST_F(ReloadTest, WhatNeedsARestartIsNamedUntilItIsTakenBack) {
  WriteConfig("info", "a", "127.0.0.1:7999");
  EXPECT_THAT(reloader_->Run()->needs_restart, ElementsAre("gossip.bind"));
  EXPECT_THAT(reloader_->Run()->needs_restart, ElementsAre("gossip.bind"));
  WriteConfig("info", "a", "127.0.0.1:7950");
  EXPECT_THAT(reloader_->Run()->needs_restart, IsEmpty());
}

TEST_F(ReloadTest, ABrokenFileChangesNothing) {
  WriteConfig("debug", "b", "127.0.0.1:7950");
  std::ofstream(folder_.File("sottod.toml"), std::ios::app) << "levl = \"x\"\n";
  EXPECT_THAT(reloader_->Run(), HasCode("RELOAD_FAILED"));
  EXPECT_EQ(target_.level, LogLevel::kInfo);
  EXPECT_THAT(target_.tags, IsEmpty());
}

TEST_F(ReloadTest, ARefusedCertificateChangesNothing) {
  WriteConfig("debug", "b", "127.0.0.1:7950");
  WriteFile("cert", "bad");
  EXPECT_THAT(reloader_->Run(), HasCode("CERT_UNTRUSTED"));
  EXPECT_EQ(target_.level, LogLevel::kInfo);
  EXPECT_THAT(target_.tags, IsEmpty());
  EXPECT_EQ(target_.cert, "first");
  // The mended file is then taken whole.
  WriteFile("cert", "third");
  EXPECT_THAT(reloader_->Run()->applied, ElementsAre("log.level", "node.tags", "sync.tls.cert"));
}

TEST_F(ReloadTest, AFailureAfterTheCertificatesTakesThemBack) {
  WriteConfig("debug", "b", "127.0.0.1:7950");
  WriteFile("cert", "second");
  target_.refuse_tags = true;
  EXPECT_FALSE(reloader_->Run().ok());
  EXPECT_EQ(target_.cert, "first");
  EXPECT_EQ(target_.tls_calls, 2);
  EXPECT_EQ(target_.level, LogLevel::kInfo);
}

TEST_F(ReloadTest, AKeyThatOthersCanReadIsRefused) {
  WriteFile("key", "another");
  ASSERT_EQ(chmod(folder_.File("key").c_str(), 0640), 0);
  EXPECT_THAT(reloader_->Run(), HasCode("SECRET_READABLE"));
  EXPECT_EQ(target_.tls_calls, 0);
}

TEST(DaemonExit, OfEachKindOfFailure) {
  const auto exit_of = [](absl::StatusCode kind, std::string_view code) {
    return ExitCodeOf(CodedError(kind, code, "x"));
  };
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(exit_of(absl::StatusCode::kInvalidArgument, "KEY_BAD_LENGTH"), 78);
  EXPECT_EQ(exit_of(absl::StatusCode::kNotFound, "KEY_MISSING"), 78);
  EXPECT_EQ(exit_of(absl::StatusCode::kDataLoss, "DB_NOT_A_DATABASE"), 78);
  EXPECT_EQ(exit_of(absl::StatusCode::kPermissionDenied, "STATE_UNWRITABLE"), 78);
  EXPECT_EQ(exit_of(absl::StatusCode::kUnavailable, "DB_LOCKED"), 75);
  EXPECT_EQ(exit_of(absl::StatusCode::kAlreadyExists, "ADDRESS_IN_USE"), 75);
  EXPECT_EQ(exit_of(absl::StatusCode::kAlreadyExists, "STATE_IN_USE"), 75);
  EXPECT_EQ(exit_of(absl::StatusCode::kResourceExhausted, "DB_FULL"), 75);
  EXPECT_EQ(exit_of(absl::StatusCode::kInternal, "CRYPTO_FAILED"), 1);
}

}  // namespace
}  // namespace sotto
