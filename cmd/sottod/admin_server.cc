#include "cmd/sottod/admin_server.h"

#include <unistd.h>

#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cmd/sottod/admin_routes.h"
#include "cmd/sottod/admin_socket.h"
#include "cmd/sottod/api_json.h"
#include "gossip/base/coded_error.h"

namespace sotto {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::local::stream_protocol;
using boost::system::error_code;

constexpr size_t kCommandThreads = 4;
constexpr size_t kEventsAtOnce = 256;
constexpr size_t kReadBufferBytes = 16 * 1024;
constexpr std::chrono::milliseconds kAcceptBackOff{100};
constexpr std::string_view kStreamHead =
    "HTTP/1.1 200 OK\r\nServer: sottod\r\nContent-Type: text/event-stream\r\n"
    "Cache-Control: no-store\r\nConnection: close\r\n\r\n";

// Answers of queries that a slow client has not taken yet; beyond, it is cut off.
constexpr size_t kQueryBacklogBytesMax = size_t{4} << 20;

class Session;

// The way back for replies, which may come when the server is gone. Threads: any.
class Gate {
 public:
  explicit Gate(asio::io_context* io) : io_(io) {}
  void Close() {
    std::lock_guard lock(mutex_);
    io_ = nullptr;
  }
  void Post(std::function<void()> call) {
    std::lock_guard lock(mutex_);
    if (io_ != nullptr) asio::post(*io_, std::move(call));
  }

 private:
  std::mutex mutex_;
  asio::io_context* io_;
};

// What the sessions share with the server.
struct Shared {
  AdminServer::Options options;
  AdminBackend* backend = nullptr;
  EventRing* events = nullptr;
  uid_t own_uid = 0;
  std::optional<gid_t> group;

  std::mutex mutex;
  std::condition_variable idle;
  size_t busy = 0;     // requests whose answer is not out yet
  size_t running = 0;  // on the pools
  bool stopping = false;

  std::set<Session*> sessions;  // the io thread's
  std::set<Session*> streams;   // the io thread's
  size_t commands = 0;          // the io thread's: running or waiting
  // Last, so that they go first: the handlers they hold end sessions, which use what stands above.
  asio::io_context io{1};
  const std::shared_ptr<Gate> gate = std::make_shared<Gate>(&io);
  asio::thread_pool pool{kCommandThreads};
  asio::thread_pool looks{1};  // of its own: commands that wait must not hide the status

  void Count(size_t Shared::*counter, int change) {
    std::lock_guard lock(mutex);
    this->*counter += static_cast<size_t>(change);
    idle.notify_all();
  }
};

// One request between its reading and the end of its answer.
class Busy {
 public:
  explicit Busy(Shared* shared) : shared_(shared) { shared_->Count(&Shared::busy, 1); }
  ~Busy() { shared_->Count(&Shared::busy, -1); }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  Shared* shared_;
};

// One connection. Lives as long as one of its operations is pending.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Shared* shared, stream_protocol::socket socket)
      : shared_(shared),
        stream_(std::move(socket)),
        buffer_(kReadBufferBytes),
        comment_timer_(shared->io) {
    shared_->sessions.insert(this);
  }
  ~Session() {
    shared_->sessions.erase(this);
    shared_->streams.erase(this);
  }

  void Start() {
    const auto peer = ReadPeerCredentials(stream_.socket().native_handle());
    if (!peer.ok()) return;
    peer_ = *peer;
    permitted_ = MayAdminister(peer_, shared_->own_uid, shared_->group);
    Read();
  }

  // Sends what the ring has gained since the last write.
  void Pump();

 private:
  void Read();
  void OnRead(error_code error);
  void Dispatch(ApiRequest request, bool keep_alive, std::string_view last_event_id);
  void RunOn(asio::thread_pool& pool, ApiRequest request, bool keep_alive);
  void Answer(ApiReply reply, bool keep_alive);
  void Close();

  void RunQuery(QueryOrder order, bool keep_alive);
  void StartQueryStream();
  void AddToQuery(const std::string& piece);
  void EndQuery(const QueryOrder& order, const QueryOutcome& outcome);
  void PumpQuery();

  void StartStream(std::optional<uint64_t> since);
  void AppendSnapshot();
  void WriteStream();
  void WaitForComment();
  void WatchForEnd();

  Shared* const shared_;
  beast::basic_stream<stream_protocol> stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  PeerCredentials peer_;
  bool permitted_ = false;
  std::optional<Busy> busy_;
  http::response<http::string_body> response_;

  asio::steady_timer comment_timer_;
  uint64_t next_event_ = 1;
  bool writing_ = false;
  std::string out_;
  std::string query_pieces_;  // of a query's answer, not written yet
  bool is_query_ = false;
  bool query_begun_ = false;
  bool query_over_ = false;
  char ignored_[256];
};

void Session::Read() {
  parser_.emplace();
  parser_->header_limit(AdminServer::kHeaderBytesMax);
  parser_->body_limit(AdminServer::kBodyBytesMax);
  stream_.expires_after(shared_->options.deadline);
  http::async_read(stream_, buffer_, *parser_,
                   [self = shared_from_this()](error_code error, size_t) { self->OnRead(error); });
}

void Session::OnRead(error_code error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return Answer(Problem(431, "API_TOO_LARGE", "the header is longer than 8 KiB"), false);
  }
  if (error == http::error::body_limit) {
    return Answer(Problem(413, "API_TOO_LARGE", "the body is longer than 64 KiB"), false);
  }
  if (error == http::error::end_of_stream || error == http::error::partial_message) return Close();
  if (error.category() == http::make_error_code(http::error::bad_method).category()) {
    return Answer(Problem(400, "API_BAD_REQUEST", "not an HTTP request: " + error.message()),
                  false);
  }
  if (error) return Close();

  busy_.emplace(shared_);
  http::request<http::string_body> message = parser_->release();
  ApiRequest request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  request.body = std::move(message.body());
  request.peer_uid = peer_.uid;
  request.peer_pid = peer_.pid;
  if (!permitted_) {
    const absl::Status refusal =
        CodedError(absl::StatusCode::kPermissionDenied, "NOT_PERMITTED",
                   absl::StrCat("user ", peer_.uid,
                                " is neither root, nor this daemon's user, nor in "
                                "admin.group"));
    shared_->backend->Audit("admin", peer_.uid, peer_.pid, refusal);
    return Answer(Problem(refusal), false);
  }
  const std::string last_event_id(message["Last-Event-ID"]);
  Dispatch(std::move(request), message.keep_alive(), last_event_id);
}

void Session::Dispatch(ApiRequest request, bool keep_alive, std::string_view last_event_id) {
  if (const auto stream = AsStreamRequest(request, last_event_id)) {
    if (!stream->status.ok()) return Answer(Problem(stream->status), keep_alive);
    if (shared_->streams.size() >= shared_->options.streams_max) {
      return Answer(Problem(503, "API_BUSY", "too many event streams are open"), keep_alive);
    }
    return StartStream(stream->since);
  }
  if (auto query = AsQueryCall(request)) {
    if (!query->status.ok()) {
      shared_->backend->Audit("/v1/query", request.peer_uid, request.peer_pid, query->status);
      return Answer(Problem(query->status), keep_alive);
    }
    if (shared_->streams.size() >= shared_->options.streams_max) {
      return Answer(Problem(503, "API_BUSY", "too many event streams are open"), keep_alive);
    }
    return RunQuery(std::move(query->order), keep_alive);
  }
  switch (PaceOf(request)) {
    case Pace::kAtOnce:
      return Answer(AnswerRequest(request, *shared_->backend, *shared_->events), keep_alive);
    case Pace::kSlowLook:
      return RunOn(shared_->looks, std::move(request), keep_alive);
    case Pace::kCommand:
      break;
  }
  if (shared_->commands >= shared_->options.commands_max) {
    return Answer(Problem(503, "API_BUSY", "too many commands are waiting"), keep_alive);
  }
  ++shared_->commands;
  RunOn(shared_->pool, std::move(request), keep_alive);
}

void Session::RunOn(asio::thread_pool& pool, ApiRequest request, bool keep_alive) {
  shared_->Count(&Shared::running, 1);
  stream_.expires_never();
  // The shared_ptr goes back to the io thread with the answer, so that the session ends there.
  asio::post(pool, [self = shared_from_this(), request = std::move(request), keep_alive]() mutable {
    Shared* const shared = self->shared_;
    ApiReply reply = AnswerRequest(request, *shared->backend, *shared->events);
    const bool was_command = PaceOf(request) == Pace::kCommand;
    asio::post(shared->io, [self = std::move(self), reply = std::move(reply), keep_alive,
                            was_command]() mutable {
      if (was_command) --self->shared_->commands;
      self->Answer(std::move(reply), keep_alive);
    });
    shared->Count(&Shared::running, -1);
  });
}

void Session::Answer(ApiReply reply, bool keep_alive) {
  {
    std::lock_guard lock(shared_->mutex);
    keep_alive = keep_alive && !shared_->stopping;
  }
  response_ = {};
  response_.version(11);
  response_.result(static_cast<unsigned>(reply.http_status));
  response_.set(http::field::server, "sottod");
  response_.set(http::field::content_type, reply.content_type);
  response_.set(http::field::cache_control, "no-store");
  response_.keep_alive(keep_alive);
  response_.body() = std::move(reply.body);
  response_.prepare_payload();
  stream_.expires_after(shared_->options.deadline);
  http::async_write(stream_, response_,
                    [self = shared_from_this(), keep_alive](error_code error, size_t) {
                      self->busy_.reset();
                      if (error || !keep_alive) return self->Close();
                      self->Read();
                    });
}

void Session::Close() {
  error_code ignored;
  stream_.socket().shutdown(stream_protocol::socket::shutdown_send, ignored);
}

void Session::RunQuery(QueryOrder order, bool keep_alive) {
  shared_->streams.insert(this);  // counts as one from now on
  is_query_ = true;
  shared_->Count(&Shared::running, 1);
  stream_.expires_never();
  asio::post(shared_->pool,
             [self = shared_from_this(), order = std::move(order), keep_alive]() mutable {
               Shared* const shared = self->shared_;
               const std::shared_ptr<Gate> gate = shared->gate;
               // The callbacks may outlive server and backend: what they bring is looked at behind
               // the gate.
               const std::weak_ptr<Session> weak = self;
               const absl::Status status = shared->backend->Query(
                   order,
                   [gate, weak](const QueryReplyItem& reply) {
                     gate->Post([weak, piece = QueryReplyEvent(reply)] {
                       if (const auto session = weak.lock()) session->AddToQuery(piece);
                     });
                   },
                   [gate, weak, order](const QueryOutcome& outcome) {
                     gate->Post([weak, order, outcome] {
                       if (const auto session = weak.lock()) session->EndQuery(order, outcome);
                     });
                   });
               shared->backend->Audit("/v1/query", self->peer_.uid, self->peer_.pid, status);
               asio::post(shared->io, [self = std::move(self), status, keep_alive] {
                 if (status.ok()) return self->StartQueryStream();
                 self->shared_->streams.erase(self.get());
                 self->is_query_ = false;
                 self->Answer(Problem(status), keep_alive);
               });
               shared->Count(&Shared::running, -1);
             });
}

void Session::StartQueryStream() {
  busy_.reset();
  query_begun_ = true;
  query_pieces_ = absl::StrCat(std::string(kStreamHead), query_pieces_);
  WatchForEnd();
  WaitForComment();
  PumpQuery();
}

void Session::EndQuery(const QueryOrder& order, const QueryOutcome& outcome) {
  query_over_ = true;
  AddToQuery(QueryEndEvent(*shared_->backend, order, outcome));
}

void Session::AddToQuery(const std::string& piece) {
  query_pieces_ += piece;
  if (query_pieces_.size() > kQueryBacklogBytesMax) {
    comment_timer_.cancel();
    stream_.close();
    return;
  }
  PumpQuery();
}

void Session::PumpQuery() {
  if (!query_begun_ || writing_) return;
  if (query_pieces_.empty()) {
    if (!query_over_) return;
    comment_timer_.cancel();
    return Close();
  }
  out_ = std::exchange(query_pieces_, {});
  WriteStream();
}

void Session::StartStream(std::optional<uint64_t> since) {
  busy_.reset();
  shared_->streams.insert(this);
  stream_.expires_never();
  WatchForEnd();
  out_ = kStreamHead;
  const uint64_t now = shared_->events->next_seq();
  if (since && shared_->events->Read(*since, 0).gap) {
    absl::StrAppend(&out_, "event: resync\ndata: {\"since\":", *since, "}\n\n");
    since.reset();
  }
  next_event_ = since.value_or(now);
  AppendSnapshot();
  WriteStream();
  WaitForComment();
}

// The picture is taken after the number up to which it holds at least: a change in between is told
// twice rather than never.
void Session::AppendSnapshot() {
  absl::StrAppend(&out_, "event: snapshot\nid: ", next_event_ - 1,
                  "\ndata: ", MembersJson(shared_->backend->Look(), false), "\n\n");
}

void Session::Pump() {
  if (is_query_) return PumpQuery();
  if (writing_) return;
  const uint64_t now = shared_->events->next_seq();
  const EventRing::Page page = shared_->events->Read(next_event_, kEventsAtOnce);
  if (page.gap) {
    absl::StrAppend(&out_, "event: resync\ndata: {\"since\":", next_event_, "}\n\n");
    next_event_ = now;
    AppendSnapshot();
  } else {
    for (const RingEvent& event : page.events) {
      absl::StrAppend(&out_, "event: event\nid: ", event.seq, "\ndata: ", EventJson(event), "\n\n");
    }
    next_event_ = page.next;
  }
  if (!out_.empty()) WriteStream();
}

void Session::WriteStream() {
  writing_ = true;
  stream_.expires_after(shared_->options.stream_deadline);
  asio::async_write(stream_, asio::buffer(out_),
                    [self = shared_from_this()](error_code error, size_t) {
                      self->writing_ = false;
                      self->out_.clear();
                      if (!error) return self->Pump();
                      self->comment_timer_.cancel();
                      self->stream_.close();
                    });
}

// Tells a client, and what lies between, that the stream still stands.
void Session::WaitForComment() {
  comment_timer_.expires_after(shared_->options.comment_interval);
  comment_timer_.async_wait([weak = weak_from_this()](error_code error) {
    const auto self = weak.lock();
    if (error || !self) return;
    if (!self->writing_) {
      self->out_ = ": still here\n\n";
      self->WriteStream();
    }
    self->WaitForComment();
  });
}

// Nothing more is expected from a stream's client; reading shows when it goes.
void Session::WatchForEnd() {
  stream_.async_read_some(asio::buffer(ignored_),
                          [self = shared_from_this()](error_code error, size_t) {
                            if (!error) return self->WatchForEnd();
                            self->comment_timer_.cancel();
                            self->stream_.close();
                          });
}

}  // namespace

class AdminServer::Impl {
 public:
  Impl(Options options, AdminBackend* backend, EventRing* events,
       std::unique_ptr<AdminSocket> socket)
      : socket_(std::move(socket)),
        work_(shared_.io.get_executor()),
        acceptor_(shared_.io),
        back_off_(shared_.io) {
    shared_.options = std::move(options);
    shared_.backend = backend;
    shared_.events = events;
    shared_.own_uid = geteuid();
    shared_.group = socket_->group();
    acceptor_.assign(stream_protocol(), socket_->TakeListener());
    Accept();
    events->SetListener([this] { WakeStreams(); });
    thread_ = std::thread([this] { shared_.io.run(); });
  }

  ~Impl() {
    Stop(std::chrono::milliseconds(0));
    shared_.gate->Close();
    // Handlers that still wait hold sessions; they go before what the sessions point to.
    shared_.pool.join();
    shared_.looks.join();
  }

  bool Stop(std::chrono::milliseconds grace) {
    std::unique_lock lock(shared_.mutex);
    if (!shared_.stopping) {
      shared_.stopping = true;
      lock.unlock();
      shared_.events->SetListener(nullptr);
      asio::post(shared_.io, [this] {
        error_code ignored;
        acceptor_.close(ignored);
        back_off_.cancel();
      });
      lock.lock();
    }
    shared_.idle.wait_for(lock, grace, [this] { return shared_.busy == 0; });
    const bool all_done = shared_.running == 0;
    lock.unlock();
    shared_.io.stop();
    if (thread_.joinable()) thread_.join();
    socket_.reset();
    return all_done;
  }

 private:
  void Accept() {
    acceptor_.async_accept([this](error_code error, stream_protocol::socket socket) {
      if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
      if (error) {
        // Out of descriptors: without a pause this would spin.
        back_off_.expires_after(kAcceptBackOff);
        back_off_.async_wait([this](error_code cancelled) {
          if (!cancelled) Accept();
        });
        return;
      }
      if (shared_.sessions.size() >= shared_.options.connections_max) {
        TurnAway(socket);
      } else {
        std::make_shared<Session>(&shared_, std::move(socket))->Start();
      }
      Accept();
    });
  }

  // A fresh socket's buffer takes this at once; if not, the client sees the end without a word.
  static void TurnAway(stream_protocol::socket& socket) {
    const std::string body = Problem(503, "API_BUSY", "too many connections are open").body;
    const std::string text = absl::StrCat(
        "HTTP/1.1 503 Service Unavailable\r\nServer: sottod\r\n"
        "Content-Type: application/problem+json\r\nConnection: close\r\nContent-Length: ",
        body.size(), "\r\n\r\n", body);
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(text), ignored);
    socket.shutdown(stream_protocol::socket::shutdown_send, ignored);
  }

  // Any thread. A burst of events wakes the streams once.
  void WakeStreams() {
    if (wake_pending_.exchange(true)) return;
    asio::post(shared_.io, [this] {
      wake_pending_ = false;
      for (Session* session : shared_.streams) session->Pump();
    });
  }

  Shared shared_;
  std::unique_ptr<AdminSocket> socket_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  stream_protocol::acceptor acceptor_;
  asio::steady_timer back_off_;
  std::atomic<bool> wake_pending_{false};
  std::thread thread_;
};

AdminServer::AdminServer(Options options, std::unique_ptr<AdminSocket> socket,
                         AdminBackend* backend, EventRing* events)
    : impl_(std::make_unique<Impl>(std::move(options), backend, events, std::move(socket))) {}

AdminServer::~AdminServer() = default;

bool AdminServer::Stop(std::chrono::milliseconds grace) { return impl_->Stop(grace); }

}  // namespace sotto
