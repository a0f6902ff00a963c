// A sottod that knows its lines: answers the admin API's calls from recorded texts, so that `sotto`
// is tested without a cluster. Threads: the server runs on its own; set answers before the first
// call.
#ifndef SOTTO_TESTS_CMD_FAKE_DAEMON_H_
#define SOTTO_TESTS_CMD_FAKE_DAEMON_H_

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sotto::testing {

class FakeDaemon {
 public:
  struct Request {
    std::string line;  // "GET /v1/status"
    std::string body;
  };

  // Listens on `path` at once.
  explicit FakeDaemon(const std::string& path);
  ~FakeDaemon();
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;

  // The answer to a call such as "GET /v1/status". Called several times: one answer after the
  // other, the last one again and again.
  void Answer(const std::string& call, const std::string& body, int status = 200);
  // As a text/event-stream, sent piece by piece; then the connection ends.
  void AnswerStream(const std::string& call, const std::vector<std::string>& pieces);
  // Bytes as they are, without HTTP around them.
  void AnswerRaw(const std::string& call, const std::string& bytes);

  std::vector<Request> requests() const;

 private:
  struct Line {
    std::vector<std::string> pieces;  // of the whole answer, head included
  };
  void Serve();
  void Handle(int fd);

  std::string path_;
  int listener_ = -1;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<Line>> answers_;
  std::map<std::string, size_t> next_;
  std::vector<Request> requests_;
  std::thread thread_;
};

// Recorded answers (docs/api.md).
extern const char kStatusJson[];
extern const char kMembersJson[];  // alive, self, suspect, dead, left; a hostile tag
extern const char kMemberJson[];
extern const char kPingJson[];
extern const char kRttJson[];
extern const char kEventSentJson[];
extern const char kReachJson[];  // gw-3 -> gw-1: nothing
extern const char kEventsJson[];
extern const char kKeysJson[];       // 14 prepared, 13 active, 12 retired
extern const char kKeyStatusJson[];  // of the same moment; gw-3 lacks 14, gw-6 is dead
extern const char kKeyHistoryJson[];
extern const char kKeyVerifyJson[];  // one fault
extern const char kTagsJson[];
extern const char kCertsJson[];

struct RunResult {
  int exit = -1;
  std::string out;
  std::string err;
};

struct RunOptions {
  std::string in;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  bool in_is_terminal = false;
  int columns = 80;
};

// One command line of `sotto`, in this process.
RunResult RunSotto(const std::vector<std::string>& args, const RunOptions& options = {});

}  // namespace sotto::testing

#endif  // SOTTO_TESTS_CMD_FAKE_DAEMON_H_
