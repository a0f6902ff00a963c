#include "store/node_files.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/certificate.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/cluster_key.h"
#include "store/file_rules.h"
#include "store/kek_source.h"
#include "store/node_state.h"
#include "store/open_store.h"

namespace sotto {
namespace {

absl::Status Read(const std::string& path, const char* field, std::string* text) {
  absl::StatusOr<std::string> read = ReadPlainFile(path);
  if (!read.ok()) return WithContext(read.status(), field);
  *text = *std::move(read);
  return absl::OkStatus();
}

absl::StatusOr<TlsMaterial> ReadTls(const NodeFiles& files) {
  TlsMaterial tls;
  SOTTO_RETURN_IF_ERROR(Read(files.ca, "ca", &tls.ca_pem));
  SOTTO_RETURN_IF_ERROR(Read(files.cert, "cert", &tls.cert_pem));
  if (!files.crl.empty()) SOTTO_RETURN_IF_ERROR(Read(files.crl, "crl", &tls.crl_pem));
  const absl::StatusOr<SecretBytes> key = ReadSecretFile(files.key);
  if (!key.ok()) return WithContext(key.status(), "key");
  tls.key_pem.assign(key->view().begin(), key->view().end());
  return tls;
}

absl::StatusOr<CertificateIdentity> IdentityOf(const TlsMaterial& tls) {
  SOTTO_ASSIGN_OR_RETURN(const CertificateRef certificate, Certificate::FromPem(tls.cert_pem));
  return certificate->Identity();
}

absl::StatusOr<ClusterKeyRef> ReadKey(const NodeFiles& files, const std::string& cluster,
                                      NodeState* state) {
  KekLoader loader;
  KeyPolicy policy;
  absl::StatusOr<KekRingRef> keks = loader.Load({.source = files.kek});
  if (!keks.ok()) return WithContext(keks.status(), "kek");
  policy.keks = *std::move(keks);
  policy.generation_seen = state->key_generation();
  const auto load = [&]() -> absl::StatusOr<StoredKey> {
    StoreOptions options;
    options.password = files.store_password;
    SOTTO_ASSIGN_OR_RETURN(const std::unique_ptr<SystemsTable> table,
                           OpenSystemsTable(files.store, options));
    return LoadClusterKey(*table, cluster, policy);
  };
  const absl::StatusOr<StoredKey> stored = load();
  if (!stored.ok()) return WithContext(stored.status(), "store");
  if (stored->kek.has_value()) {
    const absl::Status raised = state->RaiseKeyGenerationTo(stored->key->generation());
    if (!raised.ok()) return WithContext(raised, "state");
  }
  return stored->key;
}

}  // namespace

NodeFiles NodeFiles::In(const std::string& folder) {
  NodeFiles files;
  files.ca = absl::StrCat(folder, "/pki/ca.crt");
  files.cert = absl::StrCat(folder, "/pki/node.crt");
  files.key = absl::StrCat(folder, "/pki/node.key");
  files.store = absl::StrCat("sqlite:", folder, "/state/sotto.db");
  files.state = absl::StrCat(folder, "/state");
  return files;
}

absl::Status LoadNodeFiles(const NodeFiles& files, NodeOptions* options) {
  SOTTO_ASSIGN_OR_RETURN(TlsMaterial tls, ReadTls(files));
  const absl::StatusOr<CertificateIdentity> identity = IdentityOf(tls);
  if (!identity.ok()) return WithContext(identity.status(), absl::StrCat("cert: ", files.cert));
  const std::string cluster = options->cluster.empty() ? identity->cluster : options->cluster;
  const std::string name = options->name.empty() ? identity->name : options->name;

  absl::StatusOr<std::unique_ptr<NodeState>> opened = NodeState::Open(files.state, cluster, name);
  if (!opened.ok()) return WithContext(opened.status(), "state");
  const std::shared_ptr<NodeState> state = *std::move(opened);
  SOTTO_ASSIGN_OR_RETURN(ClusterKeyRef key, ReadKey(files, cluster, state.get()));
  // Durable before anything is said under it.
  const absl::StatusOr<uint32_t> boot_number = state->Bump();
  if (!boot_number.ok()) return WithContext(boot_number.status(), "state");

  options->cluster = cluster;
  options->name = name;
  options->tls = std::move(tls);
  options->keys = {std::move(key)};
  options->boot_number = *boot_number;
  options->persist_boot = [state](uint32_t boot) { return state->RaiseTo(boot); };
  return absl::OkStatus();
}

}  // namespace sotto
