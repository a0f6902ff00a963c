// From files to NodeOptions: the certificates, the cluster's key and the boot number of one node,
// for programs that embed a node and have no reading of their own to do.
//
// Threads: as plain functions; they block on disk and database.
#ifndef SOTTO_STORE_NODE_FILES_H_
#define SOTTO_STORE_NODE_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "gossip/node.h"

namespace sotto {

// Where they lie. `key` is read under the rules for secrets (file_rules.h).
struct NodeFiles {
  std::string ca;     // PEM: who may sign certificates
  std::string cert;   // PEM: this node's
  std::string key;    // PEM: its private key
  std::string crl;    // PEM: revoked certificates; empty: no list
  std::string store;  // URL of the Systems table that holds the cluster's key: "sqlite:/…"
  // Where the password of a database server's user lies: "file:/…", "credential:NAME", "env:NAME".
  std::string store_password;
  std::string state;  // folder of the boot number; made if it is missing
  // What wraps the key in the store: "file:/…" or another source of kek_source.h; empty: nothing,
  // and a wrapped key is refused. A variable is taken out of the environment.
  std::string kek;

  // As `sotto config init` and the README lay out one node's folder: pki/ca.crt, pki/node.crt,
  // pki/node.key, state/sotto.db, state/.
  static NodeFiles In(const std::string& folder);
};

// Fills in `tls`, `keys`, `boot_number` and `persist_boot`; `cluster` and `name` too where they are
// empty: the certificate says both. The options hold the lock of the state folder until the node
// that they start is gone, so one folder never serves two nodes at a time. After an error the
// options are as they were.
//   Codes of ReadPlainFile and ReadSecretFile, of the certificate (CERT_UNREADABLE,
//   CERT_NO_IDENTITY), of KekLoader, LoadClusterKey and NodeState; the message begins with the
//   field.
absl::Status LoadNodeFiles(const NodeFiles& files, NodeOptions* options);

}  // namespace sotto

#endif  // SOTTO_STORE_NODE_FILES_H_
