#include "cmd/demo/lab.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"
#include "cmd/sotto/api_client.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/cluster_key.h"
#include "store/open_store.h"
#include "store/systems_table.h"

namespace sotto {

namespace {

constexpr int kPort = 7950;
constexpr int kRelayHost = 100;  // added to the last number of a node's IP
constexpr std::chrono::milliseconds kPoll{25};
constexpr int64_t kCertificateDays = 30;
constexpr double kApiTimeoutS = 5;

// Whether UDP and TCP are both free at an address; `port` 0 takes one and says which.
bool IsFree(const std::string& ip, bool v6, uint16_t* port) {
  for (int tries = 0; tries < 20; tries++) {
    uint16_t taken = *port;
    bool free = true;
    int fds[2] = {-1, -1};
    for (int i = 0; i < 2 && free; i++) {
      fds[i] = socket(v6 ? AF_INET6 : AF_INET, i == 0 ? SOCK_DGRAM : SOCK_STREAM, 0);
      sockaddr_storage address{};
      socklen_t size = v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
      if (v6) {
        auto* in6 = reinterpret_cast<sockaddr_in6*>(&address);
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(taken);
        inet_pton(AF_INET6, ip.c_str(), &in6->sin6_addr);
      } else {
        auto* in4 = reinterpret_cast<sockaddr_in*>(&address);
        in4->sin_family = AF_INET;
        in4->sin_port = htons(taken);
        inet_pton(AF_INET, ip.c_str(), &in4->sin_addr);
      }
      free = fds[i] >= 0 && ::bind(fds[i], reinterpret_cast<sockaddr*>(&address), size) == 0;
      if (free && getsockname(fds[i], reinterpret_cast<sockaddr*>(&address), &size) == 0) {
        taken = ntohs(v6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                         : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
      }
    }
    for (const int fd : fds) {
      if (fd >= 0) close(fd);
    }
    if (free) {
      *port = taken;
      return true;
    }
    if (*port != 0) return false;
  }
  return false;
}

int64_t UnixNow() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string Quoted(std::string_view text) { return absl::StrCat("\"", std::string(text), "\""); }

std::string QuotedList(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) {
    absl::StrAppend(&out, out.size() > 1 ? ", " : "", Quoted(text));
  }
  return out + "]";
}

}  // namespace

const boost::json::value* At(const boost::json::value& value, std::string_view path) {
  const boost::json::value* at = &value;
  while (at != nullptr && !path.empty()) {
    const size_t dot = path.find('.');
    const boost::json::object* object = at->if_object();
    if (object == nullptr) return nullptr;
    const std::string_view word = path.substr(0, dot);
    at = object->if_contains(boost::json::string_view(word.data(), word.size()));
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return at;
}

absl::Status WriteNewFile(const std::string& path, std::string_view text, mode_t mode) {
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  const bool written = fd >= 0 &&
                       write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       fchmod(fd, mode) == 0;
  const int failure = errno;
  if (fd >= 0) close(fd);
  if (written) return absl::OkStatus();
  return CodedError(absl::StatusCode::kInternal, "LAB_FILE",
                    absl::StrCat("cannot write ", path, ": ", std::strerror(failure)));
}

absl::StatusOr<std::unique_ptr<Lab>> Lab::Create(const LabOptions& options) {
  std::unique_ptr<Lab> lab(new Lab(options));
  SOTTO_RETURN_IF_ERROR(lab->ChooseAddresses());
  SOTTO_ASSIGN_OR_RETURN(lab->authority_,
                         CreateAuthority(options.cluster, SigningKeyKind::kP256, UnixNow() - 300));
  SOTTO_RETURN_IF_ERROR(lab->MakeKeyRow());
  if (options.relay && !options.ipv6 && options.hosts.empty()) {
    lab->relay_ = std::make_unique<RelayNetwork>(options.relay_seed);
  }
  return lab;
}

Lab::~Lab() {
  // All at once, so that none has time to bury another.
  for (Node& node : nodes_) {
    if (node.process != nullptr) node.process->Signal(SIGKILL);
  }
}

// Ours by the process id, so that two labs on one machine do not meet.
absl::Status Lab::ChooseAddresses() {
  if (options_.ipv6 || !options_.hosts.empty()) return absl::OkStatus();
  const int start = static_cast<int>(getpid());
  for (int tries = 0; tries < 64; tries++) {
    const int number = start + tries * 251;
    net_ = absl::StrCat("127.", 16 + number % 199, ".", 1 + (number / 199) % 253, ".");
    uint16_t port = kPort, relay_port = kPort;
    if (IsFree(net_ + "1", false, &port) &&
        IsFree(absl::StrCat(net_, kRelayHost + 1), false, &relay_port)) {
      return absl::OkStatus();
    }
  }
  return CodedError(absl::StatusCode::kUnavailable, "LAB_NO_ADDRESS",
                    absl::StrCat("no loopback network with a free port ", kPort));
}

absl::Status Lab::MakeKeyRow() {
  SOTTO_ASSIGN_OR_RETURN(auto table, OpenSystemsTable(absl::StrCat("sqlite:", store_path()),
                                                      StoreOptions{.create = true}));
  SOTTO_ASSIGN_OR_RETURN(const std::string key, GenerateKeyText(options_.key_bytes));
  return table->InsertIfAbsent(kClusterKeyRow, key).status();
}

absl::StatusOr<PemPair> Lab::Issue(std::string_view name) const {
  IssueRequest request;
  request.identity = {options_.cluster, CertificateRole::kNode, std::string(name)};
  request.not_before_unix_s = UnixNow() - 300;
  request.not_after_unix_s = UnixNow() + kCertificateDays * 86'400;
  return IssueCertificate(authority_, request);
}

// Where the node listens; IPv4 only.
std::string Lab::IpOf(int index) const {
  if (options_.hosts.empty()) return absl::StrCat(net_, index + 1);
  return options_.hosts.at(static_cast<size_t>(index)).ip;
}

absl::Status Lab::ChooseEndpoints(Node& node, int index) {
  if (options_.ipv6) {
    uint16_t port = 0;
    if (!IsFree("::1", true, &port)) {
      return CodedError(absl::StatusCode::kUnavailable, "LAB_NO_ADDRESS", "no free port on ::1");
    }
    node.bind = node.advertised = absl::StrCat("[::1]:", port);
    return absl::OkStatus();
  }
  node.bind = absl::StrCat(IpOf(index), ":", kPort);
  node.advertised = node.bind;
  if (relay_ != nullptr) {
    const std::string wanted = absl::StrCat(net_, kRelayHost + index + 1, ":", kPort);
    SOTTO_ASSIGN_OR_RETURN(node.advertised, relay_->AddNode(wanted, node.bind));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Lab::AddNode(const LabNodeSpec& spec) {
  const int index = size();
  Node node;
  node.name = spec.name.empty() ? absl::StrCat("n", index + 1) : spec.name;
  node.folder = absl::StrCat(options_.folder, "/", index + 1);
  std::error_code error;
  std::filesystem::create_directory(node.folder, error);
  std::filesystem::permissions(node.folder, std::filesystem::perms::owner_all, error);
  SOTTO_RETURN_IF_ERROR(ChooseEndpoints(node, index));
  SOTTO_RETURN_IF_ERROR(WriteFiles(node, spec));
  nodes_.push_back(std::move(node));
  return index;
}

absl::Status Lab::WriteFiles(const Node& node, const LabNodeSpec& spec) {
  if (!spec.no_certificate) {
    PemPair own;
    if (spec.certificate.has_value()) {
      own = *spec.certificate;
    } else {
      SOTTO_ASSIGN_OR_RETURN(own, Issue(node.name));
    }
    const std::string& ca = spec.ca_pem.empty() ? authority_.certificate_pem : spec.ca_pem;
    SOTTO_RETURN_IF_ERROR(WriteNewFile(node.folder + "/ca.crt", ca, 0644));
    SOTTO_RETURN_IF_ERROR(WriteNewFile(node.folder + "/node.crt", own.certificate_pem, 0644));
    SOTTO_RETURN_IF_ERROR(WriteNewFile(node.folder + "/node.key", own.key_pem, 0600));
  }
  return WriteNewFile(node.folder + "/sottod.toml", ConfigText(node, spec), 0600);
}

// The first two nodes, who are each other's contact. On IPv6, those whose ports are chosen already.
std::vector<std::string> Lab::DefaultContacts(const Node& node) const {
  std::vector<std::string> out;
  for (int i = 0; i < 2; i++) {
    std::string address;
    if (options_.ipv6) {
      if (i < size()) address = advertised(i);
    } else if (relay_ != nullptr) {
      address = absl::StrCat(net_, kRelayHost + i + 1, ":", kPort);
    } else {
      address = absl::StrCat(IpOf(i), ":", kPort);
    }
    if (!address.empty() && address != node.advertised) out.push_back(address);
  }
  return out;
}

std::string Lab::ConfigText(const Node& node, const LabNodeSpec& spec) const {
  std::vector<std::string> join = spec.join;
  if (join.empty()) join = DefaultContacts(node);
  std::string tags;
  for (const auto& [key, value] : spec.tags) {
    absl::StrAppend(&tags, tags.empty() ? "" : ", ", Quoted(key), " = ", Quoted(value));
  }
  const std::string store = spec.store_url.empty() ? "sqlite:" + store_path() : spec.store_url;
  return absl::StrCat(
      "[node]\ncluster = ", Quoted(options_.cluster), "\nname = ", Quoted(node.name), "\ntags = { ",
      tags, " }\nstate_dir = ", Quoted(node.folder + "/state"),
      "\n\n[gossip]\nbind = ", QuotedList({node.bind}),
      "\nadvertise = ", QuotedList({node.advertised}), "\njoin = ", QuotedList(join),
      "\nprofile = ", Quoted(options_.profile), "\n\n[store]\nurl = ", Quoted(store),
      // A raw UPDATE tells nobody, and who watches a demo or a test does not wait 10 s for it.
      "\npoll = \"1s\"", "\n\n[sync.tls]\nca = ", Quoted(node.folder + "/ca.crt"),
      "\ncert = ", Quoted(node.folder + "/node.crt"), "\nkey = ", Quoted(node.folder + "/node.key"),
      "\n\n[admin]\nsocket = ", Quoted(node.folder + "/admin.sock"),
      "\n\n[log]\nlevel = \"info\"\nformat = \"text\"\n", spec.more_config);
}

std::string Lab::File(int node, std::string_view file) const {
  return absl::StrCat(nodes_[static_cast<size_t>(node)].folder, "/", std::string(file));
}

absl::Status Lab::Start(int node, std::optional<uid_t> uid) {
  Node& it = nodes_[static_cast<size_t>(node)];
  if (it.process != nullptr && it.process->Running()) {
    return absl::AlreadyExistsError(absl::StrCat(it.name, " runs already"));
  }
  ChildProcess::Options options;
  options.argv = {options_.sottod, "--config", it.folder + "/sottod.toml"};
  options.output = it.folder + "/log";
  options.uid = uid;
  if (!options_.hosts.empty()) {
    options.net_namespace = options_.hosts.at(static_cast<size_t>(node)).net_namespace;
  }
  SOTTO_ASSIGN_OR_RETURN(it.process, ChildProcess::Start(options));
  return absl::OkStatus();
}

void Lab::Kill(int node) {
  ChildProcess* running = process(node);
  if (running == nullptr) return;
  running->Signal(SIGKILL);
  running->Wait(Millis(5000));
}

absl::StatusOr<boost::json::value> Lab::Get(int node, const std::string& path) const {
  return cli::ApiClient(File(node, "admin.sock"), kApiTimeoutS).Get(path);
}

absl::StatusOr<boost::json::value> Lab::Post(int node, const std::string& path,
                                             const boost::json::value& body) const {
  return cli::ApiClient(File(node, "admin.sock"), 4 * kApiTimeoutS).Post(path, body);
}

std::map<std::string, std::string> Lab::StatesAt(int node) const {
  std::map<std::string, std::string> out;
  const auto answer = Get(node, "/v1/members?all=1");
  if (!answer.ok() || !answer->is_object()) return out;
  const boost::json::value* data = answer->as_object().if_contains("data");
  if (data == nullptr || !data->is_array()) return out;
  for (const boost::json::value& member : data->as_array()) {
    const boost::json::object* object = member.if_object();
    if (object == nullptr) continue;
    const boost::json::value* name = object->if_contains("name");
    const boost::json::value* state = object->if_contains("state");
    if (name == nullptr || state == nullptr || !name->is_string() || !state->is_string()) continue;
    out.emplace(name->as_string().c_str(), state->as_string().c_str());
  }
  return out;
}

int64_t Lab::StatusNumber(int node, std::string_view path) const {
  const auto answer = Get(node, "/v1/status");
  const boost::json::value* data = answer.ok() ? At(*answer, "data") : nullptr;
  const boost::json::value* at = data == nullptr ? nullptr : At(*data, path);
  if (at == nullptr || !at->is_number()) return 0;
  boost::system::error_code error;
  const int64_t number = at->to_number<int64_t>(error);
  return error ? 0 : number;
}

std::string Lab::StatusText(int node, std::string_view path) const {
  const auto answer = Get(node, "/v1/status");
  const boost::json::value* data = answer.ok() ? At(*answer, "data") : nullptr;
  const boost::json::value* at = data == nullptr ? nullptr : At(*data, path);
  return at == nullptr || !at->is_string() ? std::string() : at->as_string().c_str();
}

std::string Lab::LogOf(int node) const {
  std::ifstream file(File(node, "log"));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

bool Lab::WaitUntil(Millis limit, const std::function<bool()>& condition) const {
  const auto deadline = Clock::now() + limit;
  while (true) {
    if (condition()) return true;
    if (Clock::now() >= deadline || (interrupted && interrupted())) return false;
    std::this_thread::sleep_for(kPoll);
  }
}

bool Lab::AllAgree(const std::vector<int>& observers, const std::vector<int>& alive) const {
  std::set<std::string> wanted;
  for (const int node : alive) wanted.insert(name(node));
  return std::all_of(observers.begin(), observers.end(), [&](int observer) {
    std::set<std::string> seen;
    for (const auto& [member, state] : StatesAt(observer)) {
      if (state == "suspect") return false;
      if (state == "alive") seen.insert(member);
    }
    return seen == wanted;
  });
}

bool Lab::WaitAgree(const std::vector<int>& observers, const std::vector<int>& alive,
                    Millis limit) const {
  return WaitUntil(limit, [&] { return AllAgree(observers, alive); });
}

}  // namespace sotto
