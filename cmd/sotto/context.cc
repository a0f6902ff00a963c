#include "cmd/sotto/context.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <istream>
#include <ostream>

#include "cmd/config/config.h"
#include "cmd/sotto/api_client.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/text.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto::cli {
namespace {

constexpr size_t kComplaintLinesMax = 8;
constexpr char kServiceSocket[] = "/run/sotto/admin.sock";

std::vector<std::string> SplitLines(std::string_view text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) lines.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// The socket that the configuration names, or empty. The default file may be absent, unreadable or
// wrong: talking to a running daemon must not depend on it.
absl::StatusOr<std::string> SocketOfConfig(const std::string& given) {
  const std::string path = given.empty() ? std::string(kDefaultConfigPath) : given;
  if (given.empty() && access(path.c_str(), R_OK) != 0) return std::string();
  ConfigSources sources;
  sources.path = path;
  const ConfigResult result = LoadConfig(sources);
  if (!result.ok()) {
    if (!given.empty()) return result.status();
    return std::string();
  }
  const bool is_default = result.OriginOf("admin.socket") == "default";
  return is_default ? std::string() : result.config.admin.socket;
}

bool Exists(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0;
}

}  // namespace

Context::Context(Streams streams) : streams_(streams) {}
Context::~Context() = default;

Format Context::format() const {
  if (flags_.format == "wide") return Format::kWide;
  if (flags_.format == "json") return Format::kJson;
  if (flags_.format == "jsonl") return Format::kJsonl;
  if (flags_.format == "tsv") return Format::kTsv;
  return Format::kTable;
}

bool Context::Color(bool terminal) const {
  if (flags_.color == "always") return true;
  if (flags_.color == "never") return false;
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  if (no_color != nullptr && no_color[0] != '\0') return false;
  if (term != nullptr && std::string_view(term) == "dumb") return false;
  return terminal;
}

bool Context::color_out() const { return Color(streams_.out_is_terminal); }
bool Context::color_err() const { return Color(streams_.err_is_terminal); }

int Context::Fail(const Complaint& complaint) {
  const char* word = complaint.exit == kExitRefused ? "refused" : "error";
  std::vector<std::string> message = SplitLines(complaint.message);
  if (message.empty()) message.emplace_back("no reason was given");
  std::vector<std::pair<std::string, std::string>> lines;
  for (size_t i = 1; i < message.size(); ++i) lines.emplace_back("what", message[i]);
  for (const auto& [label, text] : complaint.lines) {
    for (const std::string& line : SplitLines(text)) lines.emplace_back(label, line);
  }
  // The `do` matters most: what is too much goes from before it.
  const auto is_do = [](const auto& line) { return line.first == "do"; };
  while (lines.size() > kComplaintLinesMax - 1) {
    const auto first_do = std::find_if(lines.begin(), lines.end(), is_do);
    lines.erase(first_do == lines.begin() ? lines.end() - 1 : first_do - 1);
  }

  err() << (color_err() ? "\x1b[1;31m" : "") << word << (color_err() ? "\x1b[0m" : "") << ' '
        << Escape(complaint.code) << ": " << Escape(message.front()) << '\n';
  for (const auto& [label, text] : lines) {
    std::string head = "  " + label;
    head.resize(std::max<size_t>(head.size() + 1, 10), ' ');
    err() << head << Escape(text) << '\n';
  }
  err().flush();
  return complaint.exit;
}

void Context::Note(std::string_view text) {
  if (flags_.quiet) return;
  err() << Escape(text) << '\n';
  err().flush();
}

bool Context::Confirm(std::string_view question) {
  if (flags_.yes) return true;
  // Nobody can be asked: a script has to say that it means it.
  if (!streams_.in_is_terminal || !streams_.err_is_terminal) return false;
  err() << Escape(question) << " [y/N] ";
  err().flush();
  std::string answer;
  std::getline(in(), answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

Complaint Context::NotConfirmed() const {
  const bool asked = streams_.in_is_terminal && streams_.err_is_terminal;
  Complaint complaint{kExitRefused,
                      asked ? "NOT_CONFIRMED" : "CONFIRMATION_NEEDED",
                      asked ? "nothing was done" : "nothing was done; this needs --yes",
                      {}};
  if (!asked) complaint.Add("why", "there is no terminal to ask on");
  return complaint.Add("do", "add --yes");
}

absl::StatusOr<std::string> Context::SocketPath() const {
  std::string path = flags_.target;
  if (path.rfind("unix:", 0) == 0) path.erase(0, 5);
  if (!flags_.target.empty() && path.find('/') == std::string::npos) {
    return WithLine(CodedError(absl::StatusCode::kInvalidArgument, "TARGET_INVALID",
                               "\"" + flags_.target + "\" is not the path of a Unix socket"),
                    "do", "sotto --target unix:/run/sotto/admin.sock status");
  }
  if (path.empty()) {
    SOTTO_ASSIGN_OR_RETURN(path, SocketOfConfig(flags_.config));
  }
  if (path.empty()) {
    path = DefaultSocketPath();
    // A user whom admin.group lets in cannot write the service's folder, yet means its daemon.
    if (!Exists(path) && Exists(kServiceSocket)) path = kServiceSocket;
  }
  SOTTO_RETURN_IF_ERROR(CheckSocketPath(path));
  return path;
}

std::string Context::ConfigPath() const {
  return flags_.config.empty() ? std::string(kDefaultConfigPath) : flags_.config;
}

absl::StatusOr<ApiClient> Context::Client() const {
  SOTTO_ASSIGN_OR_RETURN(std::string path, SocketPath());
  return ApiClient(std::move(path), TimeoutOr(5));
}

void Context::OnRun(const CLI::App* app, std::function<int()> run) { runs_[app] = std::move(run); }

void Context::AddExample(const CLI::App* app, std::string command, std::string meaning) {
  examples_[app].push_back({std::move(command), std::move(meaning)});
}

const std::function<int()>* Context::FindRun(const CLI::App* app) const {
  const auto found = runs_.find(app);
  return found == runs_.end() ? nullptr : &found->second;
}

const std::vector<Context::Example>& Context::ExamplesOf(const CLI::App* app) const {
  static const std::vector<Example> kNone;
  const auto found = examples_.find(app);
  return found == examples_.end() ? kNone : found->second;
}

}  // namespace sotto::cli
