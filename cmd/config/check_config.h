// The deep check of `sotto config check` and of sottod's start: what the settings point to.
#ifndef SOTTO_CMD_CONFIG_CHECK_CONFIG_H_
#define SOTTO_CMD_CONFIG_CHECK_CONFIG_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/config/config.h"
#include "store/cluster_key.h"
#include "store/kek_source.h"
#include "store/open_store.h"

namespace sotto {

struct CheckOptions {
  int64_t now_unix_s = 0;  // 0: the system's clock
  bool open_store = true;  // read the key row; nothing is ever created
};

// The findings of `loaded`, then those of a look at every file, address and the store. Creates
// nothing, needs no running daemon. Whether the ports are free is for the daemon to say, which
// binds them. Blocks on disk and database.
std::vector<ConfigFinding> CheckConfig(const ConfigResult& loaded,
                                       const CheckOptions& options = {});

// The four files of [sync.tls], read under the rules of store/file_rules.h.
struct TlsFiles {
  std::string ca_pem, cert_pem, key_pem, crl_pem;
};
// The first error, with the setting's name in it. `also_owner` as in FileRules.
absl::StatusOr<TlsFiles> ReadTlsFiles(const Config& config,
                                      std::optional<uid_t> also_owner = std::nullopt);

// For a tool that root runs on a service's files: the owner of the state folder, who may own
// secrets. Nothing for other users, or where there is no such folder.
std::optional<uid_t> ServiceOwner(const Config& config);

// What `encryption` says, for store/kek_source.h and store/cluster_key.h. `also_owner` as in
// FileRules.
KekSettings KekSettingsOf(const Config& config, std::optional<uid_t> also_owner = std::nullopt);
KeyPolicy KeyPolicyOf(const Config& config, KekRingRef keks);

// Whether a key may be minted in this store (design K4): on a database server, which all nodes
// share, always; in an SQLite file only without a contact outside this machine.
bool MayMintKey(const Config& config);
// Whether the store is on a database server.
bool IsServerStore(const Config& config);

// How [store] is opened. `also_owner` as in FileRules.
StoreOptions StoreOptionsOf(const Config& config, std::optional<uid_t> also_owner = std::nullopt);

}  // namespace sotto

#endif  // SOTTO_CMD_CONFIG_CHECK_CONFIG_H_
