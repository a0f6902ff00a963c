// A cluster of real daemons on loopback, made on the spot: a folder with one SQLite file, an
// internal CA, certificates and configurations; one sottod process for each node; the relay between
// them. `sotto demo` tells its story with it, and the tests of real daemons work with it.
//
// Every node has a loopback IP of its own, 127.A.B.1 and up; with a relay, its advertised address
// is 127.A.B.101 and up. With hosts, each node runs in a network of its own instead. Nothing leaves
// the machine, and nothing is written outside the folder.
// Threads: one at a time, the main thread (see ChildProcess).
#ifndef SOTTO_CMD_DEMO_LAB_H_
#define SOTTO_CMD_DEMO_LAB_H_

#include <sys/types.h>

#include <boost/json/value.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/demo/process.h"
#include "crypto/authority.h"
#include "tools/relay/relay.h"

namespace sotto {

// A place for a node off loopback.
struct LabHost {
  std::string ip;
  int net_namespace = -1;  // an open descriptor; outlives the lab
};

struct LabOptions {
  std::string folder;  // exists, 0700, short: Unix sockets lie below it
  std::string sottod;  // the program
  std::string cluster = "demo";
  std::string profile = "local";
  bool relay = true;
  bool ipv6 = false;      // all on ::1, each with a port of its own; no relay
  size_t key_bytes = 32;  // of the cluster's key
  uint64_t relay_seed = 1;
  std::vector<LabHost> hosts;  // one for each node to come, or none; no relay
};

// What differs from the cluster's own: empty means the ordinary thing.
struct LabNodeSpec {
  std::string name;
  std::string ca_pem;                  // whom this node trusts
  std::optional<PemPair> certificate;  // its own, perhaps of a foreign CA
  bool no_certificate = false;         // no files at all behind the configured paths
  std::string store_url;               // a table of its own
  std::vector<std::string> join;       // default: the first two nodes
  std::vector<std::pair<std::string, std::string>> tags;
  std::string more_config;  // TOML appended to the file
};

class Lab {
 public:
  using Clock = std::chrono::steady_clock;
  using Millis = std::chrono::milliseconds;

  // Makes CA, key row and relay. LAB_NO_ADDRESS: no free 127.A.B.x; or the codes of what it calls.
  static absl::StatusOr<std::unique_ptr<Lab>> Create(const LabOptions& options);
  ~Lab();
  Lab(const Lab&) = delete;
  Lab& operator=(const Lab&) = delete;

  // Adds a node (0, 1, …) with its files; does not start it.
  absl::StatusOr<int> AddNode(const LabNodeSpec& spec);
  // Starts the process. It may run already: then ALREADY_EXISTS.
  absl::Status Start(int node, std::optional<uid_t> uid = std::nullopt);
  // The process, also a former one; null before the first Start.
  ChildProcess* process(int node) { return nodes_[static_cast<size_t>(node)].process.get(); }
  // Another copy of the daemon for what is started from now on.
  void UseProgram(std::string sottod) { options_.sottod = std::move(sottod); }
  // SIGKILL, and waits for the end.
  void Kill(int node);

  const std::string& name(int node) const { return nodes_[static_cast<size_t>(node)].name; }
  const std::string& bind(int node) const { return nodes_[static_cast<size_t>(node)].bind; }
  const std::string& advertised(int node) const {
    return nodes_[static_cast<size_t>(node)].advertised;
  }
  // Files of a node: "sottod.toml", "admin.sock", "log", "node.key", "node.crt", "ca.crt", "state".
  std::string File(int node, std::string_view file) const;
  int size() const { return static_cast<int>(nodes_.size()); }

  const std::string& folder() const { return options_.folder; }
  const LabOptions& options() const { return options_; }
  const PemPair& authority() const { return authority_; }
  std::string store_path() const { return options_.folder + "/sotto.db"; }
  RelayNetwork* relay() { return relay_.get(); }

  // A certificate of the cluster's CA for `name`, valid for 30 days.
  absl::StatusOr<PemPair> Issue(std::string_view name) const;

  // The admin API of a node: the envelope, or the error.
  absl::StatusOr<boost::json::value> Get(int node, const std::string& path) const;
  absl::StatusOr<boost::json::value> Post(int node, const std::string& path,
                                          const boost::json::value& body) const;
  // Name to state, as `node` sees it ("alive", …); empty if it does not answer.
  std::map<std::string, std::string> StatesAt(int node) const;
  // One number of the status by its path, "frames.dropped.bad_tag"; 0 if it is not there.
  int64_t StatusNumber(int node, std::string_view path) const;
  // One text of it, "key.id"; empty if it is not there.
  std::string StatusText(int node, std::string_view path) const;
  // Its log so far.
  std::string LogOf(int node) const;

  // Polls until `condition` holds; false after `limit`, or when `interrupted` says so.
  bool WaitUntil(Millis limit, const std::function<bool()>& condition) const;
  // Every one of `observers` sees exactly `alive` alive, and none of them suspect.
  bool AllAgree(const std::vector<int>& observers, const std::vector<int>& alive) const;
  bool WaitAgree(const std::vector<int>& observers, const std::vector<int>& alive,
                 Millis limit) const;
  // Checked while waiting: a user's Ctrl-C.
  std::function<bool()> interrupted;

 private:
  struct Node {
    std::string name, folder, bind, advertised;
    std::unique_ptr<ChildProcess> process;
  };

  explicit Lab(LabOptions options) : options_(std::move(options)) {}
  absl::Status ChooseAddresses();
  absl::Status MakeKeyRow();
  absl::Status ChooseEndpoints(Node& node, int index);
  std::string IpOf(int index) const;
  absl::Status WriteFiles(const Node& node, const LabNodeSpec& spec);
  std::vector<std::string> DefaultContacts(const Node& node) const;
  std::string ConfigText(const Node& node, const LabNodeSpec& spec) const;

  LabOptions options_;
  PemPair authority_;
  std::string net_;  // "127.A.B."
  std::unique_ptr<RelayNetwork> relay_;
  std::vector<Node> nodes_;
};

// The value at "key.id" below an object; null if there is none.
const boost::json::value* At(const boost::json::value& value, std::string_view path);

// Writes `text` to a new file of mode `mode`. INTERNAL LAB_FILE.
absl::Status WriteNewFile(const std::string& path, std::string_view text, mode_t mode);

}  // namespace sotto

#endif  // SOTTO_CMD_DEMO_LAB_H_
