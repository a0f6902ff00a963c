#include "tests/support/host_network.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <regex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gossip/base/check.h"
#include "gossip/base/status_macros.h"

namespace sotto {

namespace {

constexpr std::chrono::milliseconds kCommandLimit{20'000};

// A namespace is entered by a thread, and this one must stay where it is.
absl::StatusOr<int> NewNamespace() {
  int fd = -1, failure = 0;
  std::thread maker([&] {
    if (unshare(CLONE_NEWNET) == 0) fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    failure = errno;
  });
  maker.join();
  if (fd >= 0) return fd;
  const std::string text =
      absl::StrCat("cannot make a network namespace: ", std::strerror(failure));
  if (failure == EPERM) return absl::PermissionDeniedError(text);
  return absl::InternalError(text);
}

std::string PathOf(int fd) { return absl::StrCat("/proc/", getpid(), "/fd/", fd); }

// Where a tool of the system lies; its name if nowhere.
std::string Program(std::string_view name) {
  for (const char* folder : {"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/"}) {
    const std::string path = absl::StrCat(folder, std::string(name));
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return std::string(name);
}

std::string Must(absl::StatusOr<std::string> result) {
  if (!result.ok()) std::cerr << result.status() << std::endl;
  SOTTO_CHECK(result.ok());
  return *std::move(result);
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

absl::StatusOr<std::unique_ptr<HostNetwork>> HostNetwork::Create(int count) {
  std::unique_ptr<HostNetwork> network(new HostNetwork());
  SOTTO_ASSIGN_OR_RETURN(network->switch_, NewNamespace());
  for (int i = 0; i < count; i++) {
    network->hosts_.emplace_back();
    SOTTO_ASSIGN_OR_RETURN(network->hosts_.back().fd, NewNamespace());
  }
  SOTTO_RETURN_IF_ERROR(network->Connect());
  return network;
}

HostNetwork::~HostNetwork() {
  for (const Host& host : hosts_) {
    if (host.fd >= 0) close(host.fd);
  }
  if (switch_ >= 0) close(switch_);
}

std::string HostNetwork::ip(int host) const { return absl::StrCat("10.77.0.", host + 1); }

absl::Status HostNetwork::Connect() {
  std::string lines = "link add name sw type bridge\nlink set dev sw up\n";
  for (int i = 0; i < size(); i++) {
    absl::StrAppend(&lines, "link add name port", i, " type veth peer name eth0 netns ",
                    PathOf(net_namespace(i)), "\nlink set dev port", i, " master sw up\n");
  }
  SOTTO_RETURN_IF_ERROR(RunIn(switch_, {Program("ip"), "-batch", "-"}, lines).status());
  for (int i = 0; i < size(); i++) {
    lines = absl::StrCat("link set dev lo up\naddr add ", ip(i),
                         "/24 dev eth0\nlink set dev eth0 up\n");
    SOTTO_RETURN_IF_ERROR(RunIn(net_namespace(i), {Program("ip"), "-batch", "-"}, lines).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> HostNetwork::RunIn(int fd, std::vector<std::string> argv,
                                               std::string_view input) const {
  const std::string input_path = folder_.File("input"), output_path = folder_.File("output");
  std::ofstream(input_path, std::ios::trunc) << input;
  std::ofstream(output_path, std::ios::trunc);
  std::replace(argv.begin(), argv.end(), std::string("-"), input_path);
  ChildProcess::Options options;
  options.argv = argv;
  options.output = output_path;
  options.net_namespace = fd;
  SOTTO_ASSIGN_OR_RETURN(const auto process, ChildProcess::Start(options));
  const std::optional<int> code = process->Wait(kCommandLimit);
  std::string output = ReadAll(output_path);
  if (code == 0) return output;
  return absl::InternalError(absl::StrCat(absl::StrJoin(argv, " "), ": exit ", code.value_or(-1),
                                          "\n", output, "\n", std::string(input)));
}

void HostNetwork::Apply(int host) const {
  const Host& it = hosts_[static_cast<size_t>(host)];
  const auto chain = [](std::string_view hook, const std::vector<std::string>& rules) {
    std::string out = absl::StrCat("  chain ", std::string(hook), " {\n    type filter hook ",
                                   std::string(hook), " priority 0; policy accept;\n");
    for (const std::string& rule : rules) absl::StrAppend(&out, "    ", rule, " counter drop\n");
    return out + "  }\n";
  };
  const std::string rules =
      absl::StrCat("flush ruleset\ntable ip faults {\n", chain("input", it.arriving),
                   chain("output", it.leaving), "}\n");
  Must(RunIn(net_namespace(host), {Program("nft"), "-f", "-"}, rules));
  Must(RunIn(switch_, {Program("ip"), "link", "set", "dev", absl::StrCat("port", host),
                       it.unplugged ? "down" : "up"}));
}

void HostNetwork::CutOneWay(int from, int to) {
  hosts_[static_cast<size_t>(to)].arriving.push_back(absl::StrCat("ip saddr ", ip(from)));
  Apply(to);
}

void HostNetwork::Partition(const std::vector<std::vector<int>>& groups) {
  const auto group_of = [&](int host) {
    for (size_t i = 0; i < groups.size(); i++) {
      if (std::count(groups[i].begin(), groups[i].end(), host) != 0) return static_cast<int>(i);
    }
    return -1 - host;
  };
  for (int to = 0; to < size(); to++) {
    Host& it = hosts_[static_cast<size_t>(to)];
    for (int from = 0; from < size(); from++) {
      if (group_of(from) == group_of(to)) continue;
      it.arriving.push_back(absl::StrCat("ip saddr ", ip(from)));
    }
    Apply(to);
  }
}

void HostNetwork::LoseDatagrams(int percent) {
  for (int i = 0; i < size(); i++) {
    hosts_[static_cast<size_t>(i)].arriving.push_back(
        absl::StrCat("iifname eth0 meta l4proto udp numgen random mod 100 < ", percent));
    Apply(i);
  }
}

void HostNetwork::RefuseSends(int host, Protocols protocols) {
  hosts_[static_cast<size_t>(host)].leaving.push_back(absl::StrCat(
      "oifname eth0 meta l4proto ", protocols == Protocols::kUdp ? "udp" : "{ tcp, udp }"));
  Apply(host);
}

void HostNetwork::Unplug(int host) {
  hosts_[static_cast<size_t>(host)].unplugged = true;
  Apply(host);
}

void HostNetwork::Heal() {
  for (int i = 0; i < size(); i++) {
    Host& it = hosts_[static_cast<size_t>(i)];
    it.arriving.clear();
    it.leaving.clear();
    it.unplugged = false;
    Apply(i);
  }
}

int64_t HostNetwork::Taken(int host) const {
  const std::string rules = Must(RunIn(net_namespace(host), {Program("nft"), "list", "ruleset"}));
  static const std::regex kCounter("counter packets ([0-9]+)");
  int64_t out = 0;
  for (std::sregex_iterator it(rules.begin(), rules.end(), kCounter), end; it != end; ++it) {
    out += std::stoll((*it)[1]);
  }
  return out;
}

}  // namespace sotto
