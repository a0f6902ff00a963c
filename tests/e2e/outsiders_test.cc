// Those who lack the key, a certificate, or both: never in a table, no state changed, each refusal
// under its code on the honest side.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ctime>

#include "crypto/authority.h"
#include "store/cluster_key.h"
#include "store/open_store.h"
#include "tests/support/daemon_cluster.h"

namespace sotto {
namespace {

class Outsiders : public DaemonTest {
 protected:
  void SetUp() override {
    MakeLab();
    StartNodes(3);
    honest_ = All();
    before_ = Tables();
  }

  // Everything that an outsider must not move: names, states, incarnations, set hash.
  std::vector<std::string> Tables() const {
    std::vector<std::string> out;
    for (const int node : honest_) {
      const auto members = lab_->Get(node, "/v1/members?all=1");
      const auto status = lab_->Get(node, "/v1/status");
      if (!members.ok() || !status.ok()) {
        out.push_back("no answer");
        continue;
      }
      std::string text;
      for (const auto& member : members->at("data").as_array()) {
        absl::StrAppend(&text, member.at("name").as_string().c_str(), "=",
                        member.at("state").as_string().c_str(), "@",
                        member.at("incarnation").at("boot_number").to_number<int64_t>(), ".",
                        member.at("incarnation").at("counter").to_number<int64_t>(), " ");
      }
      out.push_back(text + status->at("data").at("views").at("set_hash").as_string().c_str());
    }
    return out;
  }

  // A certificate for `name` by another CA of the same name.
  PemPair ForeignCertificate(const std::string& name) const {
    const int64_t now = std::time(nullptr);
    const auto ca = CreateAuthority(lab_->options().cluster, SigningKeyKind::kP256, now - 300);
    EXPECT_TRUE(ca.ok()) << ca.status();
    IssueRequest request;
    request.identity = {lab_->options().cluster, CertificateRole::kNode, name};
    request.not_before_unix_s = now - 300;
    request.not_after_unix_s = now + 86'400;
    const auto leaf = IssueCertificate(*ca, request);
    EXPECT_TRUE(leaf.ok()) << leaf.status();
    return *leaf;
  }

  // A table with a key of its own.
  std::string ForeignStore() const {
    const std::string url = absl::StrCat("sqlite:", folder_.path(), "/foreign.db");
    StoreOptions options;
    options.create = true;
    auto table = OpenSystemsTable(url, options);
    EXPECT_TRUE(table.ok()) << table.status();
    EXPECT_TRUE((*table)->InsertIfAbsent(kClusterKeyRow, *GenerateKeyText()).ok());
    return url;
  }

  // How often the honest ones have refused for `code`, by TLS or by frame.
  int64_t Refused(const std::string& code) const {
    int64_t count = 0;
    for (const int node : honest_) {
      count += lab_->StatusNumber(node, "sync.refused." + code) +
               lab_->StatusNumber(node, "frames.dropped." + code);
    }
    return count;
  }

  bool InHonestLogs(const std::string& code) const {
    for (const int node : honest_) {
      if (lab_->LogOf(node).find(code) != std::string::npos) return true;
    }
    return false;
  }

  // Starts an outsider and watches: one of `codes` is counted and logged, and nothing else happens.
  void KnockAndWatch(const LabNodeSpec& spec, const std::vector<std::string>& codes) {
    const auto stranger = lab_->AddNode(spec);
    ASSERT_TRUE(stranger.ok()) << stranger.status();
    ASSERT_TRUE(lab_->Start(*stranger).ok());
    std::string seen;
    ASSERT_TRUE(lab_->WaitUntil(Seconds(10),
                                [&] {
                                  for (const std::string& code : codes) {
                                    if (Refused(code) > 0) seen = code;
                                  }
                                  return !seen.empty();
                                }))
        << spec.name << " was not refused under any of " << testing::PrintToString(codes)
        << "\nits own log:\n"
        << lab_->LogOf(*stranger);
    EXPECT_TRUE(InHonestLogs(seen)) << seen << " stands in no honest log";
    EXPECT_TRUE(Holds(Seconds(4), [&] { return Tables() == before_; }))
        << testing::PrintToString(Tables()) << " was " << testing::PrintToString(before_);
    lab_->Kill(*stranger);
  }

  std::vector<int> honest_;
  std::vector<std::string> before_;
};

TEST_F(Outsiders, RightKeyAndForeignCertificate) {
  LabNodeSpec spec;
  spec.name = "mallory";
  spec.certificate = ForeignCertificate(spec.name);
  // It cannot even check itself against the cluster's CA.
  const auto stranger = lab_->AddNode(spec);
  ASSERT_TRUE(stranger.ok());
  ASSERT_TRUE(lab_->Start(*stranger).ok());
  EXPECT_EQ(lab_->process(*stranger)->Wait(Seconds(10)), 78);
  EXPECT_NE(lab_->LogOf(*stranger).find("CERT_UNTRUSTED"), std::string::npos)
      << lab_->LogOf(*stranger);
  EXPECT_EQ(Tables(), before_);
}

TEST_F(Outsiders, RightKeyAndForeignCertificateThatTrustsItself) {
  const int64_t now = std::time(nullptr);
  const auto ca = CreateAuthority(lab_->options().cluster, SigningKeyKind::kP256, now - 300);
  ASSERT_TRUE(ca.ok());
  LabNodeSpec spec;
  spec.name = "mallory";
  IssueRequest request;
  request.identity = {lab_->options().cluster, CertificateRole::kNode, spec.name};
  request.not_before_unix_s = now - 300;
  request.not_after_unix_s = now + 86'400;
  const auto leaf = IssueCertificate(*ca, request);
  ASSERT_TRUE(leaf.ok());
  spec.certificate = *leaf;
  // Both CAs: its own, to pass its own check, and the cluster's, so that it dials on.
  spec.ca_pem = ca->certificate_pem + lab_->authority().certificate_pem;
  KnockAndWatch(spec, {"CERT_UNTRUSTED", "unknown_certificate"});
}

TEST_F(Outsiders, CertificateAndWrongKey) {
  LabNodeSpec spec;
  spec.name = "trudy";
  spec.store_url = ForeignStore();
  KnockAndWatch(spec, {"KEY_MISMATCH", "KEY_BEHIND", "unknown_key"});
}

TEST_F(Outsiders, Neither) {
  const int64_t now = std::time(nullptr);
  const auto ca = CreateAuthority(lab_->options().cluster, SigningKeyKind::kP256, now - 300);
  ASSERT_TRUE(ca.ok());
  LabNodeSpec spec;
  spec.name = "nobody";
  spec.store_url = ForeignStore();
  IssueRequest request;
  request.identity = {lab_->options().cluster, CertificateRole::kNode, spec.name};
  request.not_before_unix_s = now - 300;
  request.not_after_unix_s = now + 86'400;
  const auto leaf = IssueCertificate(*ca, request);
  ASSERT_TRUE(leaf.ok());
  spec.certificate = *leaf;
  spec.ca_pem = ca->certificate_pem + lab_->authority().certificate_pem;
  KnockAndWatch(spec, {"CERT_UNTRUSTED", "unknown_key"});
}

// A TLS client that shows no certificate: what the daemon has sent it, decrypted.
std::string DialWithoutCertificate(const std::string& to, bool* shook_hands) {
  *shook_hands = false;
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  const unsigned char alpn[] = "\x0csotto-sync/1";
  SSL_CTX_set_alpn_protos(context, alpn, sizeof(alpn) - 1);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const timeval limit{3, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(to.substr(to.rfind(':') + 1))));
  inet_pton(AF_INET, to.substr(0, to.rfind(':')).c_str(), &address.sin_addr);
  std::string got;
  SSL* ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
      SSL_connect(ssl) == 1) {
    *shook_hands = true;
    char buffer[4096];
    int count;
    while ((count = SSL_read(ssl, buffer, sizeof(buffer))) > 0) {
      got.append(buffer, static_cast<size_t>(count));
    }
  }
  SSL_free(ssl);
  close(fd);
  SSL_CTX_free(context);
  return got;
}

TEST_F(Outsiders, NoCertificateAtAll) {
  const std::string to = lab_->bind(1);
  bool shook_hands = false;
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(DialWithoutCertificate(to, &shook_hands), "") << "not one byte inside TLS";
  }
  EXPECT_TRUE(shook_hands) << "in TLS 1.3 the client learns of its refusal afterwards";
  EXPECT_TRUE(lab_->WaitUntil(Seconds(5), [&] { return Refused("CERT_MISSING") > 0; }));
  EXPECT_TRUE(InHonestLogs("CERT_MISSING"));
  EXPECT_EQ(Tables(), before_);
}

TEST_F(Outsiders, NoCertificateFilesDoNotStart) {
  LabNodeSpec spec;
  spec.name = "eve";
  spec.no_certificate = true;
  const auto stranger = lab_->AddNode(spec);
  ASSERT_TRUE(stranger.ok());
  ASSERT_TRUE(lab_->Start(*stranger).ok());
  EXPECT_EQ(lab_->process(*stranger)->Wait(Seconds(10)), 78);
  EXPECT_NE(lab_->LogOf(*stranger).find("FILE_MISSING"), std::string::npos)
      << lab_->LogOf(*stranger);
}

// Certificates that the cluster's CA did sign, and that are wrong all the same. The node that has
// one says so itself; its code tells which.
struct WrongCertificate {
  const char* name;
  void (*spoil)(IssueRequest& request);
  const char* code;
};

class WrongCertificates : public DaemonTest,
                          public testing::WithParamInterface<WrongCertificate> {};

TEST_P(WrongCertificates, AreRefusedAtStartUnderTheirCode) {
  LabOptions options;
  options.relay = false;
  MakeLab(options);
  const int64_t now = std::time(nullptr);
  LabNodeSpec spec;
  spec.name = "n1";
  IssueRequest request;
  request.identity = {lab_->options().cluster, CertificateRole::kNode, "n1"};
  request.not_before_unix_s = now - 300;
  request.not_after_unix_s = now + 86'400;
  GetParam().spoil(request);
  const auto leaf = IssueCertificate(lab_->authority(), request);
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  spec.certificate = *leaf;
  ASSERT_TRUE(lab_->AddNode(spec).ok());
  ASSERT_TRUE(lab_->Start(0).ok());
  EXPECT_EQ(lab_->process(0)->Wait(Seconds(10)), 78);
  EXPECT_NE(lab_->LogOf(0).find(GetParam().code), std::string::npos) << lab_->LogOf(0);
}

INSTANTIATE_TEST_SUITE_P(
    Table43, WrongCertificates,
    testing::Values(
        WrongCertificate{"Expired",
                         [](IssueRequest& r) {
                           r.not_before_unix_s -= 20'000;
                           r.not_after_unix_s = r.not_before_unix_s + 3'600;
                         },
                         "CERT_EXPIRED"},
        WrongCertificate{"NotYetValid", [](IssueRequest& r) { r.not_before_unix_s += 80'000; },
                         "CERT_NOT_YET_VALID"},
        WrongCertificate{"NoUsage", [](IssueRequest& r) { r.omit_usage = true; }, "CERT_NO_USAGE"},
        WrongCertificate{"ServerOnly", [](IssueRequest& r) { r.server_usage_only = true; },
                         "CERT_WRONG_USAGE"},
        WrongCertificate{"ClientOnly", [](IssueRequest& r) { r.client_usage_only = true; },
                         "CERT_WRONG_USAGE"},
        WrongCertificate{"CommonNameOnly", [](IssueRequest& r) { r.common_name_only = true; },
                         "CERT_NO_IDENTITY"},
        WrongCertificate{"OtherName", [](IssueRequest& r) { r.identity.name = "n2"; },
                         "CERT_WRONG_NAME"},
        WrongCertificate{"OtherCluster", [](IssueRequest& r) { r.identity.cluster = "elsewhere"; },
                         "CERT_OTHER_CLUSTER"},
        WrongCertificate{"Admin",
                         [](IssueRequest& r) { r.identity.role = CertificateRole::kAdmin; },
                         "CERT_WRONG_ROLE"},
        WrongCertificate{"WeakRsa", [](IssueRequest& r) { r.weak_rsa = true; }, "CERT_WEAK_KEY"}),
    [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace sotto
