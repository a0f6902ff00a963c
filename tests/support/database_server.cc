#include "tests/support/database_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gossip/base/check.h"
#include "tests/support/other_user.h"

namespace sotto {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kStartTime{60};
constexpr seconds kStopTime{60};

// A port of 127.0.0.1 that nobody has at the moment.
uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  SOTTO_CHECK(fd >= 0);
  SOTTO_CHECK(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  SOTTO_CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  close(fd);
  return ntohs(address.sin_port);
}

void WriteFile(const std::string& path, const std::string& text, mode_t mode) {
  std::ofstream(path) << text;
  SOTTO_CHECK(chmod(path.c_str(), mode) == 0);
}

ChildProcess::Options AsServer(std::vector<std::string> argv, const std::string& output) {
  ChildProcess::Options options;
  options.argv = std::move(argv);
  options.output = output;
  if (geteuid() == 0) options.uid = kOtherUser;
  options.env = {{"HOME", "/nonexistent"}, {"LC_ALL", "C"}, {"TZ", "UTC"}};
  return options;
}

}  // namespace

void RequireProgram(const std::string& path, const std::string& package) {
  if (access(path.c_str(), X_OK) == 0) return;
  std::fprintf(stderr, "%s is missing; install it: apt-get install %s, or tools/setup\n",
               path.c_str(), package.c_str());
  std::abort();
}

DatabaseServer::DatabaseServer(int stop_signal) : stop_signal_(stop_signal), pki_("edge-prod") {
  SOTTO_CHECK(chmod(folder_.path().c_str(), 0755) == 0);
  GiveToServer(folder_.path());
  WriteFiles();
}

DatabaseServer::~DatabaseServer() {
  if (process_ != nullptr) Stop();
}

void DatabaseServer::WriteFiles() {
  const PemPair authority = pki_.Make({.organization = "database authority", .is_ca = true});
  const PemPair other = pki_.Make({.organization = "database authority", .is_ca = true});
  OddCertificate server;
  server.issuer = &authority;
  server.organization = "database server";
  server.hosts = {"localhost"};
  server.usage = "serverAuth";
  const PemPair pair = pki_.Make(server);
  WriteFile(folder_.File("ca.crt"), authority.certificate_pem, 0644);
  WriteFile(folder_.File("other.crt"), other.certificate_pem, 0644);
  WriteFile(folder_.File("server.crt"), pair.certificate_pem, 0644);
  WriteFile(folder_.File("server.key"), pair.key_pem, 0600);
  WriteFile(folder_.File("password"), std::string(kPassword) + "\n", 0600);
  GiveToServer(folder_.File("server.key"));
}

std::string DatabaseServer::NewDatabase() {
  std::string name = absl::StrCat("db", ++databases_);
  Session("")->Run(absl::StrCat("CREATE DATABASE ", name, NewDatabaseOptions()));
  return name;
}

std::string DatabaseServer::TcpUrl(const std::string& database, const std::string& host,
                                   const std::string& parameters, const std::string& user) const {
  return absl::StrCat(dialect() == SqlDialect::kMysql ? "mysql://" : "postgres://", user, "@", host,
                      ":", port_, "/", database, parameters);
}

StoreOptions DatabaseServer::Options() const {
  StoreOptions options;
  options.password = absl::StrCat("file:", folder_.File("password"));
  options.also_owner = kOtherUser;  // of the folder
  return options;
}

std::string DatabaseServer::NewFolder(const std::string& name) const {
  const std::string path = folder_.File(name);
  SOTTO_CHECK(mkdir(path.c_str(), 0700) == 0);
  GiveToServer(path);
  return path;
}

void DatabaseServer::Stop() {
  process_->Signal(stop_signal_);
  if (!process_->Wait(kStopTime).has_value()) Fail("it does not stop");
  process_.reset();
}

void DatabaseServer::Start() {
  if (port_ == 0) port_ = FreePort();
  std::vector<std::string> argv = {Program()};
  for (std::string& argument : Arguments()) argv.push_back(std::move(argument));
  auto started = ChildProcess::Start(AsServer(argv, folder_.File("log")));
  SOTTO_CHECK(started.ok());
  process_ = *std::move(started);
  const auto deadline = std::chrono::steady_clock::now() + kStartTime;
  while (!IsReady()) {
    if (!process_->Running()) Fail("it ended at its start");
    if (std::chrono::steady_clock::now() > deadline) Fail("it does not answer");
    std::this_thread::sleep_for(milliseconds(20));
  }
}

void DatabaseServer::GiveToServer(const std::string& path) {
  if (geteuid() == 0) SOTTO_CHECK(chown(path.c_str(), kOtherUser, kOtherUser) == 0);
}

void DatabaseServer::RunTool(const std::vector<std::string>& argv, int limit_s,
                             const std::string& input) const {
  ChildProcess::Options options = AsServer(argv, folder_.File("log"));
  const int fd = input.empty() ? -1 : open(input.c_str(), O_RDONLY | O_CLOEXEC);
  SOTTO_CHECK(input.empty() || fd >= 0);
  options.input = fd;
  auto started = ChildProcess::Start(options);
  if (fd >= 0) close(fd);
  SOTTO_CHECK(started.ok());
  if ((*started)->Wait(seconds(limit_s)) != 0) Fail(absl::StrCat(argv.front(), " failed"));
}

void DatabaseServer::Fail(const std::string& what) const {
  std::ostringstream log;
  log << std::ifstream(folder_.File("log")).rdbuf();
  std::fprintf(stderr, "the database server: %s\n%s\n", what.c_str(), log.str().c_str());
  std::abort();
}

}  // namespace sotto
