#include "cmd/config/check_config.h"

#include <grp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cmd/config/address.h"
#include "crypto/certificate.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/endpoint_text.h"
#include "store/cluster_key.h"
#include "store/file_rules.h"
#include "store/open_store.h"
#include "store/secret_source.h"
#include "store/store_url.h"

namespace sotto {
namespace {

// Certificates live 30 days and are renewed at two thirds; the alarm is at 5 days (design S6).
constexpr int64_t kExpiryAlarmSeconds = 5 * 86'400;

// `config check` waits no longer for a database server.
constexpr std::chrono::seconds kServerDeadline{3};

constexpr char kImportLine[] = "sotto keys import --from FILE";

std::string FixFor(std::string_view code, const std::string& path) {
  if (code == "SECRET_READABLE") return absl::StrCat("chmod 0600 ", path);
  if (code == "FILE_WRITABLE") return absl::StrCat("chmod go-w ", path);
  if (code == "FOLDER_WRITABLE") return absl::StrCat("chmod go-w ", FolderOf(path));
  if (code == "FILE_WRONG_OWNER") return absl::StrCat("ls -l ", path);
  return absl::StrCat("sotto explain ", std::string(code));
}

class Checker {
 public:
  Checker(const ConfigResult& loaded, const CheckOptions& options)
      : loaded_(loaded), config_(loaded.config), options_(options), findings_(loaded.findings) {
    now_ = options.now_unix_s != 0 ? options.now_unix_s : std::time(nullptr);
  }

  std::vector<ConfigFinding> Run() {
    CheckTls();
    CheckBind();
    CheckAdvertise();
    CheckContacts();
    CheckStateDir();
    CheckGroup();
    CheckHandlers();
    CheckKek();
    if (options_.open_store && !config_.node.cluster.empty()) CheckStore();
    return std::move(findings_);
  }

 private:
  void Add(FindingLevel level, std::string_view key, std::string_view code,
           const std::string& message, std::string fix) {
    // What loading has told already is not told twice.
    for (const ConfigFinding& finding : findings_) {
      if (finding.code == code && finding.where == loaded_.OriginOf(key)) return;
    }
    findings_.push_back({level, std::string(code), loaded_.OriginOf(key),
                         absl::StrCat(std::string(key), ": ", message), std::move(fix)});
  }

  void AddStatus(std::string_view key, const absl::Status& status, const std::string& fix = "") {
    const std::string code = ErrorCode(status);
    Add(FindingLevel::kError, key, code, std::string(status.message()),
        fix.empty() ? absl::StrCat("sotto explain ", code) : fix);
  }

  // The file's text; empty after an error, which is then told.
  std::string ReadFile(std::string_view key, const std::string& path, bool secret) {
    if (path.empty()) return "";
    if (!secret) {
      absl::StatusOr<std::string> text = ReadPlainFile(path, kPlainFileBytesMax);
      if (text.ok()) return *std::move(text);
      AddStatus(key, text.status(), FixFor(ErrorCode(text.status()), path));
      return "";
    }
    const absl::StatusOr<SecretBytes> bytes =
        ReadSecretFile(path, {.also_owner = ServiceOwner(config_)});
    if (bytes.ok()) return std::string(bytes->view().begin(), bytes->view().end());
    AddStatus(key, bytes.status(), FixFor(ErrorCode(bytes.status()), path));
    return "";
  }

  void CheckTls() {
    const std::string ca = ReadFile("sync.tls.ca", config_.tls.ca, false);
    const std::string cert = ReadFile("sync.tls.cert", config_.tls.cert, false);
    const std::string crl = ReadFile("sync.tls.crl", config_.tls.crl, false);
    std::string key = ReadFile("sync.tls.key", config_.tls.key, true);
    TrustStoreRef trust;
    if (!ca.empty()) {
      absl::StatusOr<TrustStoreRef> made =
          TrustStore::Create(ca, crl, config_.node.cluster, /*generation=*/1);
      const bool is_crl = ErrorCode(made.status()).starts_with("CRL_");
      if (made.ok()) {
        trust = *std::move(made);
      } else {
        AddStatus(is_crl ? "sync.tls.crl" : "sync.tls.ca", made.status());
      }
    }
    if (!cert.empty() && !key.empty()) CheckPair(cert, key, trust);
    WipeText(&key);
  }

  void CheckPair(const std::string& cert, const std::string& key, const TrustStoreRef& trust) {
    const absl::StatusOr<CredentialsRef> pair = Credentials::FromPem(cert, key);
    const std::string reissue = absl::StrCat("sotto certs issue ", config_.node.name);
    if (!pair.ok()) {
      const bool is_key = ErrorCode(pair.status()).starts_with("KEY_");
      AddStatus(is_key ? "sync.tls.key" : "sync.tls.cert", pair.status(), reissue);
      return;
    }
    if (trust == nullptr) return;
    const CertificateRef& leaf = (*pair)->certificate();
    const absl::StatusOr<CertificateIdentity> identity =
        trust->Verify(*leaf, (*pair)->chain(), CertificateRole::kNode, now_);
    if (!identity.ok()) {
      AddStatus("sync.tls.cert", identity.status(), reissue);
      return;
    }
    if (identity->name != config_.node.name) {
      Add(FindingLevel::kError, "sync.tls.cert", "CERT_WRONG_NAME",
          absl::StrCat(config_.tls.cert, " names the node \"", identity->name,
                       "\", and node.name is \"", config_.node.name, "\""),
          reissue);
    }
    const int64_t left = leaf->not_after_unix_s() - now_;
    if (left < kExpiryAlarmSeconds) {
      Add(FindingLevel::kWarning, "sync.tls.cert", "CERT_EXPIRES_SOON",
          absl::StrCat(config_.tls.cert, " ends in ", left / 3'600, " hours"), reissue);
    }
  }

  bool HasOutsideContact() const {
    return std::any_of(config_.gossip.join.begin(), config_.gossip.join.end(),
                       [this](const std::string& contact) {
                         return IsOutsideThisMachine(contact, config_.gossip.bind);
                       });
  }

  // What the others will be told to send to.
  void CheckAdvertise() {
    const bool is_given = !config_.gossip.advertise.empty();
    const std::string_view key = is_given ? "gossip.advertise" : "gossip.bind";
    const std::string fix =
        is_given ? "advertise = \"<an address of this machine that the others reach>\""
                 : "bind = \"<an address of this machine that the others reach>\"";
    for (const std::string& text : is_given ? config_.gossip.advertise : config_.gossip.bind) {
      const absl::StatusOr<ConfigAddress> address = ParseConfigAddress(text, kDefaultPort);
      if (!address.ok()) continue;
      if (IsWildcardHost(address->host)) {
        Add(FindingLevel::kError, key, "ADDRESS_WILDCARD",
            absl::StrCat(text, " is every address of this machine, and others can't send to that",
                         is_given ? "" : "; set gossip.advertise"),
            fix);
      } else if (IsUnroutableHost(address->host)) {
        const std::optional<Endpoint> endpoint = EndpointOf(*address);
        const bool refused = endpoint && IsUnroutable(*endpoint);
        Add(refused ? FindingLevel::kError : FindingLevel::kWarning, key, "ADDRESS_UNROUTABLE",
            absl::StrCat(text, " is an address that no other machine can send to"), fix);
      } else if (IsLoopbackHost(address->host)) {
        Add(HasOutsideContact() ? FindingLevel::kWarning : FindingLevel::kNote, key,
            "ADDRESS_LOOPBACK",
            absl::StrCat(text, " is loopback: only nodes on this machine can reach it"), fix);
      }
    }
  }

  static std::optional<Endpoint> EndpointOf(const ConfigAddress& address) {
    std::optional<Endpoint> endpoint = ParseIp(address.host);
    if (endpoint) endpoint->port = address.port;
    return endpoint;
  }

  // Whether the addresses are this machine's, and this user may have the ports. A port in use is no
  // finding: the daemon itself may be running.
  void CheckBind() {
    for (const std::string& text : config_.gossip.bind) {
      const absl::StatusOr<ConfigAddress> address = ParseConfigAddress(text, kDefaultPort);
      if (!address.ok()) continue;
      const std::optional<Endpoint> endpoint = EndpointOf(*address);
      if (!endpoint) continue;
      const int error = TryBind(*endpoint);
      if (error == EADDRNOTAVAIL) {
        Add(FindingLevel::kError, "gossip.bind", "ADDRESS_NOT_LOCAL",
            absl::StrCat(text, " is not an address of this machine"), "ip -brief address");
      } else if (error == EACCES) {
        Add(FindingLevel::kError, "gossip.bind", "ADDRESS_NOT_PERMITTED",
            absl::StrCat(text, ": this user may not bind that port"), "choose a port from 1024 up");
      }
    }
  }

  // The error of binding a UDP socket there for a moment; 0 if it went well.
  static int TryBind(const Endpoint& endpoint) {
    const bool v4 = IsV4(endpoint);
    const int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return 0;
    sockaddr_storage storage{};
    socklen_t size = 0;
    if (v4) {
      auto* to = reinterpret_cast<sockaddr_in*>(&storage);
      to->sin_family = AF_INET;
      to->sin_port = htons(endpoint.port);
      std::memcpy(&to->sin_addr, endpoint.ip.data() + 12, 4);
      size = sizeof(sockaddr_in);
    } else {
      auto* to = reinterpret_cast<sockaddr_in6*>(&storage);
      to->sin6_family = AF_INET6;
      to->sin6_port = htons(endpoint.port);
      std::memcpy(&to->sin6_addr, endpoint.ip.data(), 16);
      size = sizeof(sockaddr_in6);
    }
    const int error = bind(fd, reinterpret_cast<const sockaddr*>(&storage), size) == 0 ? 0 : errno;
    close(fd);
    return error;
  }

  static bool IsIpv6(const ConfigAddress& address) {
    return address.host.find(':') != std::string::npos;
  }

  // A contact of a family that nothing is bound in can't be reached.
  void CheckContacts() {
    bool has_ipv4 = false, has_ipv6 = false;
    for (const std::string& text : config_.gossip.bind) {
      const absl::StatusOr<ConfigAddress> address = ParseConfigAddress(text, kDefaultPort);
      if (!address.ok()) return;
      (IsIpv6(*address) ? has_ipv6 : has_ipv4) = true;
    }
    if (!has_ipv4 && !has_ipv6) return;
    for (const std::string& text : config_.gossip.join) {
      const absl::StatusOr<ConfigAddress> address = ParseConfigAddress(text, kDefaultPort);
      if (!address.ok() || !address->is_ip) continue;
      if (IsIpv6(*address) ? has_ipv6 : has_ipv4) continue;
      Add(FindingLevel::kWarning, "gossip.join", "ADDRESS_FAMILY",
          absl::StrCat(text, " can't be reached: gossip.bind has no ",
                       IsIpv6(*address) ? "IPv6" : "IPv4", " address"),
          "sotto explain ADDRESS_FAMILY");
    }
  }

  void CheckStateDir() {
    std::string folder = config_.node.state_dir;
    struct stat info {};
    // A folder that is missing will be made: then the nearest one above it counts.
    while (stat(folder.c_str(), &info) != 0 && folder != "/" && folder != ".") {
      folder = FolderOf(folder);
    }
    const std::string fix =
        absl::StrCat("install -d -m 0700 -o $(id -un) ", config_.node.state_dir);
    if (!S_ISDIR(info.st_mode)) {
      Add(FindingLevel::kError, "node.state_dir", "STATE_UNWRITABLE",
          absl::StrCat(folder, " is no folder"), fix);
    } else if (access(folder.c_str(), W_OK | X_OK) != 0) {
      Add(FindingLevel::kError, "node.state_dir", "STATE_UNWRITABLE",
          absl::StrCat("uid ", geteuid(), " may not write in ", folder), fix);
    }
  }

  void CheckGroup() {
    if (config_.admin.group.empty()) return;
    std::vector<char> space(16 * 1024);
    group entry{};
    group* found = nullptr;
    getgrnam_r(config_.admin.group.c_str(), &entry, space.data(), space.size(), &found);
    if (found != nullptr) return;
    Add(FindingLevel::kError, "admin.group", "ADMIN_GROUP_UNKNOWN",
        absl::StrCat("there is no group \"", config_.admin.group, "\" on this machine"),
        absl::StrCat("groupadd --system ", config_.admin.group));
  }

  void CheckHandlers() {
    for (const HandlerConfig& handler : config_.handlers) {
      const std::string& program = handler.run.front();
      const absl::Status status = CheckProgram(program, ServiceOwner(config_));
      if (status.ok()) continue;
      const std::string code = ErrorCode(status);
      findings_.push_back({FindingLevel::kError, code, handler.origin,
                           absl::StrCat("handler: run: ", std::string(status.message())),
                           code == "HANDLER_NOT_EXECUTABLE" ? absl::StrCat("chmod +x ", program)
                                                            : FixFor(code, program)});
    }
  }

  // A credential or variable is the daemon's alone: from elsewhere it cannot be judged.
  static bool IsUnseen(std::string_view code) {
    return code == "KEK_NO_CREDENTIALS" || code == "KEK_VARIABLE_MISSING";
  }

  void CheckKek() {
    const absl::StatusOr<KekRingRef> keks =
        LookAtKeks(KekSettingsOf(config_, ServiceOwner(config_)));
    const std::string code = ErrorCode(keks.status());
    if (keks.ok()) {
      keks_ = *keks;
      CheckApart();
    } else if (IsUnseen(code)) {
      is_kek_unknown_ = true;
      Add(FindingLevel::kNote, "encryption.kek", code,
          absl::StrCat(keks.status().message(), "; only the daemon may see it"), "");
    } else {
      is_kek_unknown_ = true;
      const absl::StatusOr<KekSource> source = ParseKekSource(config_.encryption.kek);
      AddStatus("encryption.kek", keks.status(),
                source.ok() ? FixFor(code, source->name) : std::string());
    }
  }

  // Whoever copies the folder has both.
  void CheckApart() {
    const absl::StatusOr<KekSource> source = ParseKekSource(config_.encryption.kek);
    const absl::StatusOr<std::string> database = SqlitePath(config_.store.url);
    if (!source.ok() || !database.ok() || source->kind != KekSource::Kind::kFile) return;
    if (FolderOf(source->name) != FolderOf(*database)) return;
    Add(FindingLevel::kWarning, "encryption.kek", "KEK_BESIDE_STORE",
        absl::StrCat(source->name,
                     " lies in the folder of the database that it protects: a copy "
                     "of the folder holds both"),
        absl::StrCat("move it away: mv ", source->name, " /etc/sotto/kek"));
  }

  // False after an error, which is then told.
  bool CheckPassword(const StoreOptions& options) {
    if (options.password.empty()) return true;
    const absl::Status status =
        ReadSecretSource(options.password, kStorePasswordBytesMax, options.also_owner).status();
    if (status.ok()) return true;
    const std::string& file = config_.store.password_file;
    AddStatus(file.empty() ? "store.password" : "store.password_file", status,
              file.empty() ? "" : FixFor(ErrorCode(status), file));
    return false;
  }

  // Beside others with a store of their own, a key of its own makes this node a cluster of one.
  void AddKeyToBeMade() {
    if (config_.gossip.join.empty() || IsServerStore(config_)) {
      Add(FindingLevel::kNote, "store.url", "KEY_MISSING", "no key yet; the start will make one",
          "");
    } else {
      Add(FindingLevel::kWarning, "store.url", "KEY_MISSING",
          "no key yet; the start will make one, and the nodes of gossip.join refuse this one "
          "unless they share this file",
          kImportLine);
    }
  }

  void CheckStore() {
    StoreOptions options = StoreOptionsOf(config_, ServiceOwner(config_));
    options.create = false;
    const bool is_server = IsServerStore(config_);
    if (is_server) options.deadline = kServerDeadline;
    if (!CheckPassword(options)) return;
    const absl::StatusOr<std::unique_ptr<SystemsTable>> table =
        OpenSystemsTable(config_.store.url, options);
    const std::string code = ErrorCode(table.status());
    // A server that is away for the moment makes no configuration wrong: the start tries again.
    if (is_server &&
        (absl::IsUnavailable(table.status()) || absl::IsDeadlineExceeded(table.status()))) {
      Add(FindingLevel::kWarning, "store.url", code, std::string(table.status().message()),
          absl::StrCat("sotto explain ", code));
      return;
    }
    if ((code == "DB_MISSING" || code == "DB_TABLE_MISSING") && config_.store.create) {
      Add(FindingLevel::kNote, "store.url", code,
          absl::StrCat(table.status().message(), "; the start will make it"), "");
      return;
    }
    if (!table.ok()) {
      const absl::StatusOr<std::string> path = SqlitePath(config_.store.url);
      AddStatus("store.url", table.status(), path.ok() ? FixFor(code, *path) : "");
      return;
    }
    const absl::StatusOr<StoredKey> key =
        LoadClusterKey(**table, config_.node.cluster, KeyPolicyOf(config_, keks_));
    if (key.ok()) return;
    // Told already: without the KEK nobody can say more of the row.
    if (is_kek_unknown_ && ErrorCode(key.status()) == "KEK_MISSING") return;
    if (ErrorCode(key.status()) == "KEY_MISSING" && MayMintKey(config_)) {
      AddKeyToBeMade();
      return;
    }
    const bool is_missing = ErrorCode(key.status()) == "KEY_MISSING";
    AddStatus("store.url", key.status(), is_missing ? kImportLine : "");
  }

  const ConfigResult& loaded_;
  const Config& config_;
  const CheckOptions options_;
  KekRingRef keks_;
  bool is_kek_unknown_ = false;
  std::vector<ConfigFinding> findings_;
  int64_t now_ = 0;
};

}  // namespace

std::vector<ConfigFinding> CheckConfig(const ConfigResult& loaded, const CheckOptions& options) {
  return Checker(loaded, options).Run();
}

absl::StatusOr<TlsFiles> ReadTlsFiles(const Config& config, std::optional<uid_t> also_owner) {
  TlsFiles files;
  struct Source {
    std::string_view key;
    const std::string& path;
    std::string* text;
  };
  for (const Source& source : {Source{"sync.tls.ca", config.tls.ca, &files.ca_pem},
                               Source{"sync.tls.cert", config.tls.cert, &files.cert_pem},
                               Source{"sync.tls.crl", config.tls.crl, &files.crl_pem}}) {
    if (source.path.empty()) continue;
    absl::StatusOr<std::string> text = ReadPlainFile(source.path);
    if (!text.ok()) return WithContext(text.status(), source.key);
    *source.text = *std::move(text);
  }
  const absl::StatusOr<SecretBytes> key =
      ReadSecretFile(config.tls.key, {.also_owner = also_owner});
  if (!key.ok()) return WithContext(key.status(), "sync.tls.key");
  files.key_pem.assign(key->view().begin(), key->view().end());
  return files;
}

std::optional<uid_t> ServiceOwner(const Config& config) {
  struct stat info {};
  if (geteuid() != 0 || stat(config.node.state_dir.c_str(), &info) != 0) return std::nullopt;
  return info.st_uid;
}

KekSettings KekSettingsOf(const Config& config, std::optional<uid_t> also_owner) {
  return {config.encryption.kek, config.encryption.kek_active, config.encryption.allow_weak_key,
          also_owner};
}

KeyPolicy KeyPolicyOf(const Config& config, KekRingRef keks) {
  KeyPolicy policy;
  policy.allow_weak = config.encryption.allow_weak_key;
  policy.allow_hex_looking = config.encryption.allow_hex_looking_key;
  policy.keks = std::move(keks);
  policy.accept_plain = config.encryption.accept_plain_update;
  return policy;
}

bool IsServerStore(const Config& config) {
  const absl::StatusOr<StoreUrl> url = ParseStoreUrl(config.store.url);
  return url.ok() && url->dialect != SqlDialect::kSqlite;
}

StoreOptions StoreOptionsOf(const Config& config, std::optional<uid_t> also_owner) {
  StoreOptions options;
  options.create = config.store.create;
  options.also_owner = also_owner;
  options.password = config.store.password_file.empty()
                         ? config.store.password
                         : absl::StrCat("file:", config.store.password_file);
  return options;
}

bool MayMintKey(const Config& config) {
  if (IsServerStore(config)) return true;
  return std::none_of(config.gossip.join.begin(), config.gossip.join.end(),
                      [&config](const std::string& contact) {
                        return IsOutsideThisMachine(contact, config.gossip.bind);
                      });
}

}  // namespace sotto
