#include "tests/cmd/fake_daemon.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "cmd/sotto/cli.h"
#include "gossip/base/check.h"

namespace sotto::testing {
namespace {

void SendAll(int fd, const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t sent = send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (sent <= 0) return;
    at += static_cast<size_t>(sent);
  }
}

// Until the head and the body it promises are there.
std::string ReceiveRequest(int fd) {
  std::string text;
  while (true) {
    const size_t head = text.find("\r\n\r\n");
    if (head != std::string::npos) {
      const size_t at = text.find("Content-Length: ");
      const size_t length =
          at == std::string::npos ? 0 : std::strtoul(text.c_str() + at + 16, nullptr, 10);
      if (text.size() >= head + 4 + length) return text;
    }
    char buffer[4096];
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
}

}  // namespace

FakeDaemon::FakeDaemon(const std::string& path) : path_(path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  SOTTO_CHECK(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  SOTTO_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  SOTTO_CHECK(listen(listener_, 16) == 0);
  thread_ = std::thread([this] { Serve(); });
}

FakeDaemon::~FakeDaemon() {
  stop_ = true;
  thread_.join();
  close(listener_);
  unlink(path_.c_str());
}

void FakeDaemon::Answer(const std::string& call, const std::string& body, int status) {
  const std::string type = status / 100 == 2 ? "application/json" : "application/problem+json";
  AnswerRaw(call, "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: " + type +
                      "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
}

void FakeDaemon::AnswerStream(const std::string& call, const std::vector<std::string>& pieces) {
  Line line;
  line.pieces.emplace_back(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (const std::string& piece : pieces) {
    std::ostringstream chunk;
    chunk << std::hex << piece.size() << "\r\n" << piece << "\r\n";
    line.pieces.push_back(chunk.str());
  }
  line.pieces.emplace_back("0\r\n\r\n");
  const std::lock_guard<std::mutex> lock(mutex_);
  answers_[call].push_back(std::move(line));
}

void FakeDaemon::AnswerRaw(const std::string& call, const std::string& bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  answers_[call].push_back({{bytes}});
}

std::vector<FakeDaemon::Request> FakeDaemon::requests() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return requests_;
}

void FakeDaemon::Serve() {
  while (!stop_) {
    pollfd entry{listener_, POLLIN, 0};
    if (poll(&entry, 1, 20) <= 0) continue;
    const int fd = accept(listener_, nullptr, nullptr);
    if (fd < 0) continue;
    Handle(fd);
    close(fd);
  }
}

void FakeDaemon::Handle(int fd) {
  const std::string text = ReceiveRequest(fd);
  const std::string line = text.substr(0, text.find(" HTTP/1.1\r\n"));
  const size_t head = text.find("\r\n\r\n");
  Line answer;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    requests_.push_back({line, head == std::string::npos ? "" : text.substr(head + 4)});
    const auto found = answers_.find(line);
    if (found == answers_.end()) {
      answer.pieces = {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"};
    } else {
      size_t& next = next_[line];
      answer = found->second[std::min(next, found->second.size() - 1)];
      ++next;
    }
  }
  for (const std::string& piece : answer.pieces) SendAll(fd, piece);
}

RunResult RunSotto(const std::vector<std::string>& args, const RunOptions& options) {
  std::istringstream in(options.in);
  std::ostringstream out, err;
  cli::Streams streams;
  streams.in = &in;
  streams.out = &out;
  streams.err = &err;
  streams.in_is_terminal = options.in_is_terminal;
  streams.out_is_terminal = options.out_is_terminal;
  streams.err_is_terminal = options.err_is_terminal;
  streams.columns = options.columns;
  RunResult result;
  result.exit = cli::RunCli(args, streams);
  result.out = out.str();
  result.err = err.str();
  return result;
}

const char kStatusJson[] = R"json({"schema":"sotto.status/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,"data":{
  "cluster":"edge-prod","node":"gw-1","version":"0.1.0","pid":4711,"up_s":264000.1,
  "health":"warning",
  "notes":[{"code":"CERT_ENDS_SOON","level":"yellow","text":"the node certificate ends in 4d"}],
  "members":{"alive":5,"suspect":0,"dead":0,"left":1,"forgotten":0},
  "views":{"agree":4,"known":4,"set_hash":"9c31a0f2d4418877"},
  "standing":{"announced":true,"isolated":false,"minority":false,"name_conflict":false,
              "leaving":false,"left":false,"health_score":0,"broadcasts_queued":0},
  "incarnation":{"boot_number":3,"counter":1},"boot_id":"77b103aa5c2d1e0f",
  "bound":["127.0.0.1:7950"],"advertised":["127.0.0.1:7950"],
  "key":{"id":"9f3c-21aa","algorithm":"AES-256-GCM","generation":1,"frames_sealed":18204,"held":1},
  "frames":{"sent":41200,"received":40511,"hellos_sent":1,"hellos_received":1,"bytes_sent":1,
            "bytes_received":1,"send_errors":0,"dropped":{"too_short":0,"bad_tag":30,"decode":1}},
  "sync":{"equal":3,"merged":1,"failed":0,"busy":0,"bytes_sent":1,"bytes_received":1,
          "tls_accepted":1,"tls_dialed":1,"refused":{"CERT_UNTRUSTED":2}},
  "store":{"url":"sqlite:/var/lib/sotto/sotto.db","ok":true,"code":null,"message":null,
           "last_read_s_ago":4.0,"read_ms":0.1},
  "certificate":{"subject":"sotto://edge-prod/node/gw-1","not_after":"2026-12-12T00:00:00Z",
                 "valid_s":1814400},
  "refusals":[{"at":"2026-11-21T14:02:01.002Z","code":"CERT_UNTRUSTED","peer":"10.0.0.9:41022",
               "message":"another CA"}],
  "handlers":[{"on":["member_died"],"program":"/usr/local/lib/failover","runs":4,"failed":1,
               "dropped":0,"waiting":2,"last_error":null}]}})json";

const char kMembersJson[] = R"json({"schema":"sotto.members/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,"data":[
  {"name":"gw-1","self":true,"state":"alive","since_s":273600.5,"addresses":["10.0.3.11:7950"],
   "tags":{"role":"gateway"},"incarnation":{"boot_number":3,"counter":1},
   "boot_id":"77b103aa5c2d1e0f","rtt_s":null,"suspected_by":[],"dies_in_s":null,
   "certificate_sha256":"ab12cd34ef56ab12cd34","certificate_not_after":"2026-12-12T00:00:00Z"},
  {"name":"gw-2","self":false,"state":"alive","since_s":660,
   "addresses":["10.0.3.12:7950","[fd00::12]:7950"],"tags":{"role":"gateway","zone":"fra1-a"},
   "incarnation":{"boot_number":1,"counter":0},"boot_id":"0102030405060708","rtt_s":0.0004,
   "suspected_by":[],"dies_in_s":null,"certificate_sha256":"cd34ef56ab12cd34ef56",
   "certificate_not_after":"2026-12-12T00:00:00Z"},
  {"name":"gw-3","self":false,"state":"suspect","since_s":1.2,"addresses":["10.0.4.13:7950"],
   "tags":{},"incarnation":{"boot_number":3,"counter":1},"boot_id":"1112131415161718",
   "rtt_s":null,"suspected_by":["gw-2","gw-5"],"dies_in_s":3.8,
   "certificate_sha256":"ef56ab12cd34ef56ab12","certificate_not_after":"2026-12-12T00:00:00Z"},
  {"name":"gw-4","self":false,"state":"dead","since_s":7200,"addresses":["10.0.4.14:7950"],
   "tags":{"note":"\u001b[31mred\n\u009b2J \u202etxt"},"incarnation":{"boot_number":2,"counter":7},
   "boot_id":"2122232425262728","rtt_s":null,"suspected_by":[],"dies_in_s":null,
   "certificate_sha256":null,"certificate_not_after":null},
  {"name":"gw-5","self":false,"state":"left","since_s":30,"addresses":[],"tags":{},
   "incarnation":{"boot_number":2,"counter":8},"boot_id":"3132333435363738","rtt_s":null,
   "suspected_by":[],"dies_in_s":null,"certificate_sha256":null,"certificate_not_after":null}
  ]})json";

const char kMemberJson[] = R"json({"schema":"sotto.member/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,"data":
  {"name":"gw-3","self":false,"state":"suspect","since_s":1.2,"addresses":["10.0.4.13:7950"],
   "tags":{"role":"gateway"},"incarnation":{"boot_number":3,"counter":1},
   "boot_id":"1112131415161718","rtt_s":0.0011,"suspected_by":["gw-2"],"dies_in_s":3.8,
   "certificate_sha256":"ef56ab12cd34ef56ab12",
   "certificate_not_after":"2026-12-12T00:00:00Z","cases":[
   {"began":"2026-11-21T12:00:00.000Z","ended":"2026-11-21T12:00:01.250Z",
    "incarnation":{"boot_number":3,"counter":0},"end":"refuted",
    "answered_with":{"boot_number":3,"counter":1},"accusers":[
     {"name":"gw-5","said":"suspect","heard":"2026-11-21T12:00:00.000Z","evidence":null,
      "text":"it gave no evidence"}]},
   {"began":"2026-11-21T14:02:09.920Z","ended":null,
    "incarnation":{"boot_number":3,"counter":1},"end":"open","answered_with":null,"accusers":[
     {"name":"gw-2","said":"suspect","heard":"2026-11-21T14:02:09.920Z",
      "evidence":{"direct_failed":true,"relays_asked":3,"relays_nacked":2,"stream":"failed",
                  "silent_s":2.1,"health_score":0},
      "text":"its ping was not answered; 3 others were asked, 2 heard nothing either"},
     {"name":"gw-5","said":"dead","heard":"2026-11-21T14:02:10.320Z","evidence":null,
      "text":"it gave no evidence"}]}]}})json";

const char kPingJson[] = R"json({"schema":"sotto.ping/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,
  "data":{"member":"gw-2","udp_s":0.0004,"tcp_s":0.0012}})json";

const char kRttJson[] = R"json({"schema":"sotto.rtt/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,
  "data":{"a":"gw-2","b":"gw-3","rtt_s":0.0015}})json";

const char kEventSentJson[] = R"json({"schema":"sotto.event/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,
  "data":{"name":"deploy","payload_bytes":2}})json";

const char kReachJson[] = R"json({"schema":"sotto.reach/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,"data":{"members":["gw-1","gw-2","gw-3"],
  "rows":{"gw-1":{"gw-2":"udp","gw-3":"udp"},"gw-2":{"gw-1":"udp","gw-3":"tcp"},
          "gw-3":{"gw-1":"nothing","gw-2":"not_asked"}},"silent":[],"differs":[],
  "findings":[{"from":"gw-3","to":"gw-1","what":"nothing",
    "text":"gw-3 -> gw-1: nothing comes back from 10.0.3.11:7950, udp or tcp",
    "fix":"check the firewall in front of gw-1 for new traffic from 10.0.4.13:7950"}]}})json";

const char kEventsJson[] = R"json({"schema":"sotto.events/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,"data":[
  {"seq":880,"t":"2026-11-21T13:28:02.114Z","event":"joined","member":"gw-3","by":[],
   "incarnation":{"boot_number":3,"counter":0},"detail":""},
  {"seq":881,"t":"2026-11-21T13:58:02.114Z","event":"suspected","member":"gw-3",
   "by":["gw-2","gw-5"],"incarnation":{"boot_number":3,"counter":0},"detail":""},
  {"seq":882,"t":"2026-11-21T13:58:02.590Z","event":"refuted","member":"gw-3","by":[],
   "incarnation":{"boot_number":3,"counter":1},"detail":"it answered"},
  {"seq":883,"t":"2026-11-21T14:00:00.000Z","event":"user_event","member":"gw-2","by":[],
   "incarnation":{"boot_number":0,"counter":0},"detail":"","name":"deploy","payload":"v7",
   "payload_base64":"djc=","lamport":4,"replayed":false}],"next":884})json";

const char kKeysJson[] = R"json({"schema":"sotto.keys/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,"data":[
  {"id":"c0de-0014","state":"prepared","algorithm":"AES-256-GCM","generation":14,
   "kek":"LSfGgNInMfs","frames_sealed":null,"created_at":"2026-11-21T14:02:00.000Z",
   "activated_at":null,"retire_at":null,"actor":"uid 0","automatic":false,"held_here":true,
   "seals_here":false,"held_by":3,"seals_for":0,"known":5,
   "missing":[{"name":"gw-3","state":"alive","trouble":"KEK_MISSING"},
              {"name":"gw-6","state":"dead","trouble":null}]},
  {"id":"41d0-77be","state":"active","algorithm":"AES-256-GCM","generation":13,
   "kek":"LSfGgNInMfs","frames_sealed":18204,"created_at":"2026-11-20T14:02:00.000Z",
   "activated_at":"2026-11-20T14:02:11.000Z","retire_at":null,"actor":"schedule (gw-1)",
   "automatic":true,"held_here":true,"seals_here":true,"held_by":4,"seals_for":4,"known":5,
   "missing":[{"name":"gw-6","state":"dead","trouble":null}]},
  {"id":"9f3c-21aa","state":"retired","algorithm":null,"generation":12,
   "kek":null,"frames_sealed":null,"created_at":"2026-10-22T09:10:00.000Z",
   "activated_at":"2026-10-22T09:10:09.000Z","retire_at":"2026-11-22T14:03:00.000Z",
   "actor":null,"automatic":false,"held_here":false,"seals_here":false,"held_by":5,"seals_for":1,
   "known":5,"missing":[]}]})json";

const char kKeyStatusJson[] = R"json({"schema":"sotto.key_status/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,"data":{"cluster":"edge-prod",
  "store":{"url":"postgresql://db.internal/app","ok":true,"code":null,"message":null},
  "leader":"gw-1",
  "active":{"generation":13,"id":"41d0-77be","activated_at":"2026-11-20T14:02:11.000Z"},
  "next":{"generation":14,"id":"c0de-0014","automatic":false,"actor":"uid 0",
          "created_at":"2026-11-21T14:02:00.000Z","kek":"LSfGgNInMfs"},
  "retiring":[{"generation":12,"id":"9f3c-21aa","retire_at":"2026-11-22T14:03:00.000Z"}],
  "members":[
   {"name":"gw-1","state":"alive","living":true,"held":14,"sealing":13,"trouble":null,"seen_s":0.1,
    "in_store":true,"answered":true,"key_drops":0,
    "keks":["LSfGgNInMfs","OceLj9Qi5w0"]},
   {"name":"gw-2","state":"alive","living":true,"held":14,"sealing":13,"trouble":null,"seen_s":2.5,
    "in_store":true,"answered":false,"key_drops":3,"keks":null},
   {"name":"gw-3","state":"alive","living":true,"held":13,"sealing":13,"trouble":"KEK_MISSING",
    "seen_s":0.4,"in_store":true,"answered":true,"key_drops":0,
    "keks":["LSfGgNInMfs","OceLj9Qi5w0"]},
   {"name":"gw-4","state":"suspect","living":true,"held":14,"sealing":13,"trouble":null,
    "seen_s":9,"in_store":true,"answered":false,"key_drops":null,"keks":null},
   {"name":"gw-6","state":"dead","living":false,"held":12,"sealing":12,"trouble":null,
    "seen_s":7200,"in_store":true,"answered":false,"key_drops":null,"keks":null}],
  "next_rotation_at":"2026-12-20T14:02:11.000Z","retire_after_s":86400,"blocked":null,
  "key_agreed":true}})json";

const char kKeyHistoryJson[] = R"json({"schema":"sotto.key_history/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,"data":[
  {"at":"2026-11-21T14:02:00.000Z","actor":"uid 0","action":"prepare","generation":14,
   "id":"c0de-0014","detail":null},
  {"at":"2026-11-20T14:02:11.000Z","actor":"schedule (gw-1)","action":"activate","generation":13,
   "id":"41d0-77be","detail":"instead of generation 12"}]})json";

const char kKeyVerifyJson[] = R"json({"schema":"sotto.key_verify/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,"data":[
  {"name":"the table has exactly one ACTIVE key","ok":true,"code":null,"message":null,
   "repaired":false},
  {"name":"the table is not older than this node","ok":false,"code":"KEY_ROLLBACK",
   "message":"the newest key there is generation 12, and this node has used 13",
   "repaired":false}]})json";

const char kTagsJson[] = R"json({"schema":"sotto.tags/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,
  "data":{"role":"gateway","zone":"fra1-a"}})json";

const char kCertsJson[] = R"json({"schema":"sotto.certs/1","observer":"gw-1",
  "as_of":"2026-11-21T14:02:11.120Z","complete":true,"data":[
  {"use":"node","subject":"sotto://edge-prod/node/gw-1","issuer":"O=edge-prod","serial":"1f2e",
   "key":"EC P-256","not_before":"2026-11-12T00:00:00Z","not_after":"2026-12-12T00:00:00Z",
   "valid_s":1814400,"sha256":"ab12"}]})json";

}  // namespace sotto::testing
