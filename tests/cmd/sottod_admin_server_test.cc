// The admin server over a real Unix socket, with a backend on paper: framing, limits, permissions.
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cmd/sottod/admin_server.h"
#include "tests/cmd/api_schema.h"
#include "tests/cmd/fake_backend.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/unix_http.h"

namespace sotto {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

std::string CodeOf(const HttpReply& reply) {
  const auto problem = boost::json::parse(reply.body);
  return std::string(problem.at("code").as_string());
}

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

RingEvent Suspected(const std::string& member) {
  RingEvent event;
  event.event = "suspected";
  event.member = member;
  return event;
}

class AdminServerTest : public testing::Test {
 protected:
  void Serve(AdminServer::Options options = {}, const std::string& group = "") {
    auto socket = AdminSocket::Open(path_, group);
    SOTTO_ASSERT_OK(socket);
    server_ = std::make_unique<AdminServer>(options, *std::move(socket), &backend_, &events_);
  }

  // The HTTP status that another user's GET /v1/version gets; 0 if it cannot connect.
  int StatusForUser(uid_t uid, std::vector<gid_t> groups) const {
    const pid_t child = fork();
    if (child == 0) {
      if (setgroups(groups.size(), groups.data()) != 0 || setgid(uid) != 0 || setuid(uid) != 0) {
        _exit(255);
      }
      UnixHttp http(path_);
      const int status = http.connected() ? http.Get("/v1/version").status : 0;
      _exit(status / 10);
    }
    int result = 0;
    waitpid(child, &result, 0);
    return WEXITSTATUS(result) * 10;
  }

  TempDir folder_;
  std::string path_ = folder_.File("run/admin.sock");
  FakeBackend backend_;
  EventRing events_{50};
  std::unique_ptr<AdminServer> server_;
};

TEST_F(AdminServerTest, EveryCallAnswersByItsSchema) {
  Serve();
  events_.Append(Suspected("gw-3"));
  UnixHttp http(path_);  // one connection for all: keep-alive
  for (const char* target : {"/v1/version",
                             "/v1/status",
                             "/v1/members",
                             "/v1/members?all=1",
                             "/v1/members/gw-2",
                             "/v1/events",
                             "/v1/events?since=1&limit=5",
                             "/v1/tags",
                             "/v1/keys",
                             "/v1/certs",
                             "/v1/members/gw-3",
                             "/v1/ping/gw-2",
                             "/v1/ping/gw-3?timeout_s=0.5",
                             "/v1/rtt?a=gw-2",
                             "/v1/rtt?a=gw-2&b=gw-3",
                             "/v1/reach",
                             "/v1/reach?timeout_s=1",
                             "/v1/keys?ask=1&removed=1",
                             "/v1/keys/status",
                             "/v1/keys/history?limit=1"}) {
    const HttpReply reply = http.Get(target);
    EXPECT_EQ(reply.status, 200) << target;
    EXPECT_THAT(reply.head, HasSubstr("Content-Type: application/json")) << target;
    EXPECT_EQ(CheckAnswer(reply.body), "") << target;
  }
  const std::pair<std::string, std::string> posts[] = {
      {"/v1/join", R"({"contacts":["gw-2:7950"],"timeout_s":2})"},
      {"/v1/leave", ""},
      {"/v1/forget", R"({"name":"gw-2"})"},
      {"/v1/tags", R"({"set":{"zone":"a"},"unset":["role"]})"},
      {"/v1/reload", "{}"},
      {"/v1/event", R"({"name":"deploy","payload_base64":"AP8="})"},
      {"/v1/keys/prepare", "{}"},
      {"/v1/keys/activate", R"({"generation":13,"skip":["gw-3"]})"},
      {"/v1/keys/remove", R"({"generation":12})"},
      {"/v1/keys/verify", ""}};
  for (const auto& [target, body] : posts) {
    const HttpReply reply = http.Post(target, body);
    EXPECT_EQ(reply.status, 200) << target << reply.body;
    EXPECT_EQ(CheckAnswer(reply.body), "") << target;
  }
  EXPECT_THAT(backend_.contacts(), ElementsAre("gw-2:7950"));
  EXPECT_EQ(backend_.timeout(), milliseconds(2000));
  EXPECT_THAT(http.Get("/v1/tags").body, HasSubstr(R"("data":{"zone":"a"})"));
  const std::string uid = std::to_string(geteuid());
  EXPECT_THAT(backend_.audit(),
              ElementsAre("/v1/join " + uid + " ok", "/v1/leave " + uid + " ok",
                          "/v1/forget " + uid + " ok", "/v1/tags " + uid + " ok",
                          "/v1/reload " + uid + " ok", "/v1/event " + uid + " ok",
                          "/v1/keys/prepare " + uid + " ok", "/v1/keys/activate " + uid + " ok",
                          "/v1/keys/remove " + uid + " ok", "/v1/keys/verify " + uid + " ok"));
  EXPECT_THAT(backend_.fake_keys().calls(),
              ElementsAre("prepare by uid " + uid, "activate 13 by uid " + uid + " without gw-3",
                          "remove 12 by uid " + uid));
  ASSERT_EQ(backend_.events_sent().size(), 1u);
  EXPECT_EQ(backend_.events_sent()[0].payload, std::string("\0\xff", 2));
  EXPECT_TRUE(backend_.events_sent()[0].coalesce);
}

TEST_F(AdminServerTest, ErrorsAreProblems) {
  Serve();
  UnixHttp http(path_);
  const auto expect = [](const HttpReply& reply, int status, const std::string& code) {
    EXPECT_EQ(reply.status, status) << reply.body;
    EXPECT_THAT(reply.head, HasSubstr("Content-Type: application/problem+json"));
    EXPECT_EQ(CheckAnswer(reply.body), "");
    EXPECT_EQ(CodeOf(reply), code);
  };
  expect(http.Get("/v1/members/gw-9"), 404, "MEMBER_UNKNOWN");
  expect(http.Get("/v2/members"), 404, "API_UNKNOWN_CALL");
  expect(http.Get("/"), 404, "API_UNKNOWN_CALL");
  expect(http.Get("/v1/join"), 405, "API_METHOD");
  expect(http.Post("/v1/status", "{}"), 405, "API_METHOD");
  expect(http.Post("/v1/members/gw-2", "{}"), 405, "API_METHOD");
  expect(http.Get("/v1/status?x=1"), 400, "API_BAD_REQUEST");
  expect(http.Get("/v1/events?since=x"), 400, "API_BAD_REQUEST");
  expect(http.Get("/v1/stream?since=x"), 400, "API_BAD_REQUEST");
  expect(http.Post("/v1/join", "{"), 400, "API_BAD_REQUEST");
  expect(http.Post("/v1/join", R"({"contacts":["nobody:1"]})"), 503, "JOIN_FAILED");
  expect(http.Post("/v1/forget", R"({"name":"gw-9"})"), 404, "MEMBER_UNKNOWN");
  expect(http.Get("/v1/ping/gw-9"), 404, "MEMBER_UNKNOWN");
  expect(http.Get("/v1/ping/"), 404, "API_UNKNOWN_CALL");
  expect(http.Get("/v1/ping/gw-2?timeout_s=0"), 400, "API_BAD_REQUEST");
  expect(http.Get("/v1/ping/gw-2?timeout_s=nan"), 400, "API_BAD_REQUEST");
  expect(http.Get("/v1/rtt"), 400, "API_BAD_REQUEST");
  expect(http.Get("/v1/rtt?a=gw-2&b=gw-9"), 503, "RTT_UNKNOWN");
  expect(http.Get("/v1/query"), 405, "API_METHOD");
  expect(http.Post("/v1/query", "{}"), 400, "API_BAD_REQUEST");
  expect(http.Post("/v1/query", R"({"name":"x","relays":6})"), 400, "API_BAD_REQUEST");
  expect(http.Post("/v1/query", R"({"name":"_sotto/none"})"), 400, "SAID_NAME_RESERVED");
  expect(http.Post("/v1/event", R"({"name":"x","payload":"a","payload_base64":""})"), 400,
         "API_BAD_REQUEST");
  expect(http.Post("/v1/event", R"({"name":"x","payload_base64":"?"})"), 400, "API_BAD_REQUEST");
  expect(http.Post("/v1/event", R"({"name":"too-big"})"), 400, "EVENT_TOO_LARGE");
}

// The data of each piece, after its event's word.
std::vector<std::string> Pieces(const std::string& stream) {
  std::vector<std::string> out;
  for (size_t at = stream.find("event: "); at != std::string::npos;
       at = stream.find("event: ", at + 1)) {
    const size_t line = stream.find('\n', at);
    const size_t data = stream.find("data: ", line);
    out.push_back(stream.substr(at + 7, line - at - 7) + " " +
                  stream.substr(data + 6, stream.find('\n', data) - data - 6));
  }
  return out;
}

TEST_F(AdminServerTest, AQueryIsAnsweredPieceByPiece) {
  Serve();
  backend_.HoldQueries();
  UnixHttp http(path_);
  const std::string body =
      R"({"name":"load","payload":"now?","names":["gw-*"],"tags":{"zone":"a*"},"timeout_s":7,)"
      R"("acks":false,"relays":2})";
  http.Send("POST /v1/query HTTP/1.1\r\nHost: sotto\r\nContent-Length: " +
            std::to_string(body.size()) + "\r\n\r\n" + body);
  ASSERT_TRUE(http.WaitFor("now?\""));  // what is there comes before the end
  EXPECT_THAT(http.input(), HasSubstr("Content-Type: text/event-stream"));
  events_.Append(Suspected("gw-3"));  // is no piece of a query's answer
  backend_.EndQuery();
  EXPECT_TRUE(http.WaitForEnd());
  const std::vector<std::string> pieces = Pieces(http.input());
  ASSERT_EQ(pieces.size(), 4u) << http.input();
  EXPECT_EQ(pieces[0], R"(reply {"from":"gw-2","ack":true,"payload":"","payload_base64":""})");
  EXPECT_EQ(pieces[1],
            R"(reply {"from":"gw-2","ack":false,"payload":"now?","payload_base64":"bm93Pw=="})");
  EXPECT_THAT(pieces[3], testing::StartsWith("summary {"));
  EXPECT_EQ(CheckAnswer(pieces[3].substr(8)), "");
  EXPECT_THAT(pieces[3], HasSubstr(R"("complete":false)"));
  const QueryOrder query = backend_.query();
  EXPECT_THAT(query.names, ElementsAre("gw-*"));
  EXPECT_THAT(query.tags, ElementsAre(Tag{"zone", "a*"}));
  EXPECT_EQ(query.timeout, milliseconds(7000));
  EXPECT_FALSE(query.acks);
  EXPECT_EQ(query.relays, 2);
}

TEST_F(AdminServerTest, AQueryMayOutliveItsClientAndItsServer) {
  Serve();
  backend_.HoldQueries();
  {
    UnixHttp http(path_);
    http.Send("POST /v1/query HTTP/1.1\r\nHost: s\r\nContent-Length: 12\r\n\r\n{\"name\":\"x\"}");
    ASSERT_TRUE(http.WaitFor("event: reply"));
  }
  UnixHttp other(path_);
  EXPECT_EQ(other.Get("/v1/version").status, 200);
  backend_.EndQuery();
  server_.reset();
  backend_.EndQuery();  // nobody is there any more
}

TEST_F(AdminServerTest, WhatIsNotHttpGetsA400AndTheEnd) {
  Serve();
  for (const char* junk : {"\x16\x03\x01 hello\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"}) {
    UnixHttp http(path_);
    http.Send(junk);
    const HttpReply reply = http.ReadReply();
    EXPECT_EQ(reply.status, 400) << junk;
    EXPECT_TRUE(http.WaitForEnd());
  }
}

TEST_F(AdminServerTest, LimitsOfHeaderAndBodyHoldToTheByte) {
  Serve();
  {
    UnixHttp http(path_);
    EXPECT_EQ(http.Get("/v1/version", "X: " + std::string(7 * 1024, 'x') + "\r\n").status, 200);
  }
  {
    UnixHttp http(path_);
    http.Send("GET /v1/version HTTP/1.1\r\nX: " + std::string(8 * 1024, 'x') + "\r\n\r\n");
    EXPECT_EQ(http.ReadReply().status, 431);
  }
  const auto body_of = [](size_t size) { return std::string(size - 2, ' ') + "{}"; };
  {
    UnixHttp http(path_);
    EXPECT_EQ(http.Post("/v1/reload", body_of(AdminServer::kBodyBytesMax)).status, 200);
  }
  {
    // Refused from the announced length alone.
    UnixHttp http(path_);
    http.Send("POST /v1/reload HTTP/1.1\r\nHost: s\r\nContent-Length: " +
              std::to_string(AdminServer::kBodyBytesMax + 1) + "\r\n\r\n");
    const HttpReply reply = http.ReadReply();
    EXPECT_EQ(reply.status, 413);
    EXPECT_EQ(CodeOf(reply), "API_TOO_LARGE");
  }
  {
    UnixHttp http(path_);
    http.Send("POST /v1/reload HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n");
    const std::string chunk = "4000\r\n" + std::string(0x4000, ' ') + "\r\n";
    for (int i = 0; i < 5; ++i) http.Send(chunk);
    EXPECT_EQ(http.ReadReply().status, 413);
  }
}

TEST_F(AdminServerTest, AClientThatNeverFinishesIsCutOff) {
  AdminServer::Options options;
  options.deadline = milliseconds(100);
  Serve(options);
  UnixHttp silent(path_);
  UnixHttp slow(path_);
  slow.Send("GET /v1/version HTTP/1.1\r\nHos");
  EXPECT_TRUE(silent.WaitForEnd());
  EXPECT_TRUE(slow.WaitForEnd());
}

TEST_F(AdminServerTest, ConnectionsOverTheLimitAreTurnedAwayAndOthersServedAgain) {
  AdminServer::Options options;
  options.connections_max = 2;
  Serve(options);
  auto first = std::make_unique<UnixHttp>(path_);
  UnixHttp second(path_);
  EXPECT_EQ(first->Get("/v1/version").status, 200);
  EXPECT_EQ(second.Get("/v1/version").status, 200);
  UnixHttp third(path_);
  const HttpReply refused = third.ReadReply();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(CodeOf(refused), "API_BUSY");
  first.reset();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  int status = 0;
  while (status != 200 && std::chrono::steady_clock::now() < deadline) {
    status = UnixHttp(path_).Get("/v1/version").status;
  }
  EXPECT_EQ(status, 200);
}

TEST_F(AdminServerTest, CommandsThatWaitBlockNobodyAndAreBounded) {
  AdminServer::Options options;
  options.commands_max = 5;
  Serve(options);
  backend_.HoldJoins(true);
  const std::string body = R"({"contacts":["a:1"]})";
  const std::string join =
      "POST /v1/join HTTP/1.1\r\nHost: s\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  std::vector<std::unique_ptr<UnixHttp>> waiting;
  for (int i = 0; i < 5; ++i) {
    waiting.push_back(std::make_unique<UnixHttp>(path_));
    waiting.back()->Send(join);
  }
  ASSERT_TRUE(backend_.WaitForJoins(4));  // all the pool's threads
  UnixHttp http(path_);
  EXPECT_EQ(http.Get("/v1/status").status, 200);
  EXPECT_EQ(http.Get("/v1/members").status, 200);
  const HttpReply refused = http.Post("/v1/join", body);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(CodeOf(refused), "API_BUSY");
  backend_.HoldJoins(false);
  for (const auto& client : waiting) EXPECT_EQ(client->ReadReply().status, 200);
}

TEST_F(AdminServerTest, StopLetsAnAnswerOutAndRemovesTheSocket) {
  Serve();
  backend_.HoldJoins(true);
  UnixHttp http(path_);
  const std::string body = R"({"contacts":["a:1"]})";
  http.Send("POST /v1/join HTTP/1.1\r\nHost: s\r\nContent-Length: " + std::to_string(body.size()) +
            "\r\n\r\n" + body);
  ASSERT_TRUE(backend_.WaitForJoins(1));
  bool all_done = false;
  std::thread stopper([&] { all_done = server_->Stop(std::chrono::seconds(20)); });
  backend_.HoldJoins(false);
  EXPECT_EQ(http.ReadReply().status, 200);
  stopper.join();
  EXPECT_TRUE(all_done);
  EXPECT_FALSE(UnixHttp(path_).connected());
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

// ---- the stream ---------------------------------------------------------------------------------

TEST_F(AdminServerTest, TheStreamBeginsWithASnapshotAndTellsEachChange) {
  Serve();
  events_.Append(Suspected("before"));
  UnixHttp http(path_);
  http.Send("GET /v1/stream HTTP/1.1\r\nHost: s\r\n\r\n");
  ASSERT_TRUE(http.WaitFor("event: snapshot\nid: 1\ndata: "));
  ASSERT_TRUE(http.WaitFor("]}\n\n"));
  const std::string start = http.TakeInput();
  EXPECT_THAT(start, HasSubstr("Content-Type: text/event-stream"));
  const size_t at = start.find("data: ") + 6;
  EXPECT_EQ(CheckAnswer(start.substr(at, start.find("\n\n", at) - at)), "");
  events_.Append(Suspected("after"));
  ASSERT_TRUE(http.WaitFor("event: event\nid: 2\ndata: {\"seq\":2,"));
  ASSERT_TRUE(http.WaitFor("\"after\""));
  EXPECT_THAT(http.input(), Not(HasSubstr("before")));
}

TEST_F(AdminServerTest, TheStreamContinuesWhereTheReaderStopped) {
  Serve();
  for (const char* member : {"a", "b", "c"}) events_.Append(Suspected(member));
  UnixHttp since(path_);
  since.Send("GET /v1/stream?since=2 HTTP/1.1\r\nHost: s\r\n\r\n");
  ASSERT_TRUE(since.WaitFor("id: 3\n"));
  EXPECT_THAT(since.input(), HasSubstr("event: event\nid: 2\n"));
  EXPECT_THAT(since.input(), Not(HasSubstr("resync")));
  UnixHttp resumed(path_);
  resumed.Send("GET /v1/stream?since=1 HTTP/1.1\r\nHost: s\r\nLast-Event-ID: 2\r\n\r\n");
  ASSERT_TRUE(resumed.WaitFor("event: event\nid: 3\n"));
  EXPECT_THAT(resumed.input(), Not(HasSubstr("event: event\nid: 2\n")));
}

TEST_F(AdminServerTest, WhoAsksForWhatIsGoneGetsAResync) {
  Serve();
  for (int i = 0; i < 60; ++i) events_.Append(Suspected("m"));  // the ring holds 50
  UnixHttp http(path_);
  http.Send("GET /v1/stream?since=5 HTTP/1.1\r\nHost: s\r\n\r\n");
  ASSERT_TRUE(http.WaitFor("event: resync\n"));
  ASSERT_TRUE(http.WaitFor("event: snapshot\nid: 60\n"));
}

TEST_F(AdminServerTest, ASlowReaderGetsAResyncAndMemoryStaysBounded) {
  Serve();
  UnixHttp http(path_);
  http.Send("GET /v1/stream HTTP/1.1\r\nHost: s\r\n\r\n");
  ASSERT_TRUE(http.WaitFor("]}\n\n"));
  // Far more than the socket holds, while nobody reads.
  RingEvent event = Suspected("m");
  event.detail = std::string(4000, 'd');
  for (int i = 0; i < 2'000; ++i) events_.Append(event);
  // By event or by snapshot, it comes to the end, and there it goes on as before.
  ASSERT_TRUE(http.WaitFor("id: 2000\n"));
  EXPECT_THAT(http.TakeInput(), HasSubstr("event: resync\n"));
  events_.Append(Suspected("the-last"));
  EXPECT_TRUE(http.WaitFor("event: event\nid: 2001\n"));
}

TEST_F(AdminServerTest, TheStreamShowsThatItStillStands) {
  AdminServer::Options options;
  options.comment_interval = milliseconds(20);
  Serve(options);
  UnixHttp http(path_);
  http.Send("GET /v1/stream HTTP/1.1\r\nHost: s\r\n\r\n");
  EXPECT_TRUE(http.WaitFor(": still here\n\n: still here\n\n"));
}

TEST_F(AdminServerTest, StreamsLeaveRoomForCommands) {
  AdminServer::Options options;
  options.streams_max = 1;
  Serve(options);
  auto first = std::make_unique<UnixHttp>(path_);
  first->Send("GET /v1/stream HTTP/1.1\r\nHost: s\r\n\r\n");
  ASSERT_TRUE(first->WaitFor("snapshot"));
  UnixHttp http(path_);
  EXPECT_EQ(http.Get("/v1/stream").status, 503);
  EXPECT_EQ(http.Get("/v1/version").status, 200);
  // A reader that goes makes room.
  first.reset();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  bool streaming = false;
  while (!streaming && std::chrono::steady_clock::now() < deadline) {
    UnixHttp next(path_);
    next.Send("GET /v1/stream HTTP/1.1\r\nHost: s\r\n\r\n");
    streaming = next.WaitFor("\r\n\r\n") && next.input().starts_with("HTTP/1.1 200");
  }
  EXPECT_TRUE(streaming);
}

// ---- who may ------------------------------------------------------------------------------------

TEST_F(AdminServerTest, FolderAndSocketAreClosedToOthers) {
  Serve();
  EXPECT_EQ(ModeOf(folder_.File("run")), 0700u);
  EXPECT_EQ(ModeOf(path_), 0600u);
}

TEST_F(AdminServerTest, AnotherUserIsRefusedEvenIfTheModesLetHimIn) {
  if (geteuid() != 0) GTEST_SKIP() << "takes root to become another user";
  Serve();
  chmod(folder_.path().c_str(), 0755);
  chmod(folder_.File("run").c_str(), 0755);
  chmod(path_.c_str(), 0666);
  EXPECT_EQ(StatusForUser(65534, {}), 400);  // 403, to the tens that an exit code holds
  EXPECT_THAT(backend_.audit(), ElementsAre("admin 65534 NOT_PERMITTED"));
  EXPECT_EQ(StatusForUser(0, {}), 200);
}

TEST_F(AdminServerTest, MembersOfTheGroupMayAlsoBySupplementaryGroup) {
  if (geteuid() != 0) GTEST_SKIP() << "takes root to become another user";
  Serve({}, "daemon");
  const gid_t daemon = getgrnam("daemon")->gr_gid;
  chmod(folder_.path().c_str(), 0755);
  EXPECT_EQ(ModeOf(folder_.File("run")), 0750u);
  EXPECT_EQ(ModeOf(path_), 0660u);
  EXPECT_EQ(StatusForUser(65534, {daemon}), 200);
  EXPECT_EQ(StatusForUser(65534, {}), 0);  // the folder keeps him out
}

TEST(AdminAccess, RootTheOwnUserAndTheGroup) {
  PeerCredentials peer;
  peer.uid = 1000;
  peer.gid = 1000;
  EXPECT_FALSE(MayAdminister(peer, 998, std::nullopt));
  EXPECT_FALSE(MayAdminister(peer, 998, 50));
  EXPECT_TRUE(MayAdminister(peer, 1000, std::nullopt));
  EXPECT_TRUE(MayAdminister(peer, 998, 1000));
  peer.groups = {7, 50};
  EXPECT_TRUE(MayAdminister(peer, 998, 50));
  peer = {};
  EXPECT_TRUE(MayAdminister(peer, 998, std::nullopt));
}

// ---- the socket's place -------------------------------------------------------------------------

TEST_F(AdminServerTest, ASecondDaemonIsRefused) {
  Serve();
  EXPECT_THAT(AdminSocket::Open(path_, ""), HasCode("ADMIN_SOCKET_IN_USE"));
  EXPECT_EQ(UnixHttp(path_).Get("/v1/version").status, 200);
}

TEST_F(AdminServerTest, AnotherProgramsSocketIsLeftAlone) {
  ASSERT_EQ(mkdir(folder_.File("run").c_str(), 0700), 0);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  EXPECT_THAT(AdminSocket::Open(path_, ""), HasCode("ADMIN_SOCKET_IN_USE"));
  close(fd);
  // Now nobody listens, as after a kill -9: the name is free.
  SOTTO_EXPECT_OK(AdminSocket::Open(path_, ""));
}

TEST_F(AdminServerTest, AFileOfThatNameIsNotRemoved) {
  ASSERT_EQ(mkdir(folder_.File("run").c_str(), 0700), 0);
  std::ofstream(path_) << "precious";
  EXPECT_THAT(AdminSocket::Open(path_, ""), HasCode("ADMIN_SOCKET_UNUSABLE"));
  EXPECT_EQ(access(path_.c_str(), F_OK), 0);
}

TEST_F(AdminServerTest, UnsafeFoldersAreRefused) {
  const std::string run = folder_.File("run");
  ASSERT_EQ(mkdir(run.c_str(), 0700), 0);
  for (const mode_t mode : {0770, 0702, 01777}) {
    chmod(run.c_str(), mode);
    EXPECT_THAT(AdminSocket::Open(path_, ""), HasCode("ADMIN_FOLDER_UNSAFE"));
  }
  if (geteuid() == 0) {
    chmod(run.c_str(), 0700);
    ASSERT_EQ(chown(run.c_str(), 65534, 65534), 0);
    EXPECT_THAT(AdminSocket::Open(path_, ""), HasCode("ADMIN_FOLDER_UNSAFE"));
    ASSERT_EQ(chown(run.c_str(), 0, 0), 0);
  }
  const std::string link = folder_.File("link");
  ASSERT_EQ(symlink(run.c_str(), link.c_str()), 0);
  EXPECT_THAT(AdminSocket::Open(link + "/admin.sock", ""), HasCode("ADMIN_FOLDER_UNUSABLE"));
  EXPECT_THAT(AdminSocket::Open(folder_.File("no/such/admin.sock"), ""),
              HasCode("ADMIN_FOLDER_UNUSABLE"));
}

TEST_F(AdminServerTest, PathsAndGroupsThatCannotBe) {
  EXPECT_THAT(AdminSocket::Open("/tmp/" + std::string(103, 'a'), ""),
              HasCode("SOCKET_PATH_TOO_LONG"));
  EXPECT_THAT(AdminSocket::Open(path_, "no-such-group-here"), HasCode("ADMIN_GROUP_UNKNOWN"));
}

}  // namespace
}  // namespace sotto
