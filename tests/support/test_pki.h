// A CA with its nodes, made at run time, and every certificate that a node must refuse.
//
// Nothing lies in the tree that could expire. Failure to make one is a broken test, hence a CHECK.
#ifndef SOTTO_TESTS_SUPPORT_TEST_PKI_H_
#define SOTTO_TESTS_SUPPORT_TEST_PKI_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/authority.h"
#include "crypto/certificate.h"
#include "crypto/tls_context.h"

namespace sotto {

// A certificate beyond what crypto/authority.h makes. Signed by `issuer`, or by itself if that is
// null.
struct OddCertificate {
  const PemPair* issuer = nullptr;
  std::string organization = "edge-prod";
  std::vector<std::string> uris;
  std::vector<std::string> hosts;  // DNS names
  bool is_ca = false;              // without a path length, without name constraints
  std::string key = "EC";          // "EC" (P-256), "P-384", "RSA"
  int rsa_bits = 2048;
  bool sha1 = false;
  std::string usage = "serverAuth,clientAuth";  // empty: no extended key usage
};

class TestPki {
 public:
  // `now_unix_s` 0: the machine's clock.
  explicit TestPki(std::string cluster = "edge-prod", int64_t now_unix_s = 0,
                   SigningKeyKind kind = SigningKeyKind::kP256);

  int64_t now() const { return now_; }
  const std::string& cluster() const { return cluster_; }
  const PemPair& authority() const { return authority_; }
  const std::string& ca_pem() const { return authority_.certificate_pem; }

  // A good request for a node, for the caller to spoil: 30 days from five minutes ago.
  IssueRequest Request(std::string_view name) const;
  PemPair Issue(const IssueRequest& request) const;
  PemPair Issue(std::string_view name) const { return Issue(Request(name)); }
  PemPair Make(const OddCertificate& odd) const;

  CredentialsRef Node(std::string_view name) const;
  CredentialsRef Use(const PemPair& pair) const;
  TrustStoreRef Trust(std::string_view crl_pem = {}, uint64_t generation = 1) const;
  TlsContextRef Tls(std::string_view name) const;
  std::string Revoke(const std::vector<std::string>& serials, int64_t from_unix_s,
                     int64_t valid_s) const;

 private:
  std::string cluster_;
  int64_t now_;
  PemPair authority_;
};

}  // namespace sotto

#endif  // SOTTO_TESTS_SUPPORT_TEST_PKI_H_
