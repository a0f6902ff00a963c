#include "cmd/demo/story.h"

#include <signal.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <optional>
#include <ostream>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cmd/sotto/complaint.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "store/cluster_key.h"
#include "store/open_store.h"

namespace sotto {

namespace {

using Millis = Lab::Millis;
namespace json = boost::json;

// How long each step may take. Together they end within the minute that the demo promises.
constexpr Millis kStartLimit{10'000};
constexpr Millis kDeathLimit{15'000};
constexpr Millis kRestartLimit{10'000};
constexpr Millis kPartitionLimit{20'000};
constexpr Millis kHealLimit{15'000};
constexpr Millis kLeaveLimit{8'000};
constexpr Millis kRefusedLimit{12'000};
// How long a stranger's absence is watched.
constexpr Millis kAbsentFor{1'500};

std::string Text(const json::value& value, std::string_view path) {
  const json::value* at = At(value, path);
  if (at == nullptr || at->is_null()) return "-";
  if (at->is_string()) return at->as_string().c_str();
  return json::serialize(*at);
}

std::string Names(const Lab& lab, const std::vector<int>& nodes) {
  return absl::StrJoin(nodes, " ", [&](std::string* out, int node) { *out += lab.name(node); });
}

std::vector<int> Without(std::vector<int> nodes, int node) {
  std::erase(nodes, node);
  return nodes;
}

// The TLS part of the first log line about a sync that names a version.
std::string TlsLineOf(const std::string& log) {
  const size_t at = log.find("TLSv1.3");
  if (at == std::string::npos) return "";
  const size_t begin = log.rfind('\n', at) + 1;  // npos + 1 is 0
  return log.substr(begin, log.find('\n', at) - begin);
}

}  // namespace

std::string SecondsText(std::chrono::duration<double> seconds) {
  return absl::StrFormat("%.1f s", seconds.count());
}

std::string Narrator::Stamp() const { return absl::StrFormat("%6.1f s", Elapsed().count()); }

void Narrator::Step(std::string_view text) {
  out_ << "\n"
       << Stamp() << "  " << (color_ ? "\033[1m" : "") << text << (color_ ? "\033[0m" : "") << "\n";
  out_.flush();
}

void Narrator::Say(std::string_view text) {
  out_ << Stamp() << "    " << text << "\n";
  out_.flush();
}

void Narrator::Plain(std::string_view text) {
  out_ << text << "\n";
  out_.flush();
}

absl::Status Story::Missed(std::string_view what) {
  if (lab_.interrupted && lab_.interrupted()) return absl::CancelledError("stopped");
  say_.Say(absl::StrCat("NOT SEEN in time: ", std::string(what)));
  return CodedError(absl::StatusCode::kDeadlineExceeded, "DEMO_STEP_MISSED", what);
}

std::vector<int> Story::Running() {
  std::vector<int> out;
  for (int node = 0; node < std::min(kNodes, lab_.size()); node++) {
    if (lab_.process(node) != nullptr && lab_.process(node)->Running()) out.push_back(node);
  }
  return out;
}

absl::Status Story::Begin() {
  say_.Step("Starting five daemons, n1 to n5.");
  say_.Say(absl::StrCat("They share one SQLite file with the cluster key, an internal CA and a ",
                        "certificate each,"));
  say_.Say(absl::StrCat("all made just now in ", lab_.folder(), ". Nothing leaves loopback."));
  const auto begin = Lab::Clock::now();
  for (int node = 0; node < kNodes; node++) {
    LabNodeSpec spec;
    spec.tags = {{"role", "gateway"}, {"zone", node < 2 ? "a" : "b"}};
    SOTTO_RETURN_IF_ERROR(lab_.AddNode(spec).status());
    SOTTO_RETURN_IF_ERROR(lab_.Start(node));
  }
  const std::vector<int> all = {0, 1, 2, 3, 4};
  // A daemon that has ended will not come: nobody waits for it.
  bool agreed = false;
  lab_.WaitUntil(kStartLimit, [&] {
    agreed = Running().size() == static_cast<size_t>(kNodes) && lab_.AllAgree(all, all);
    return agreed || Running().size() != static_cast<size_t>(kNodes);
  });
  if (!agreed) {
    for (int node = 0; node < kNodes; node++) {
      if (lab_.interrupted && lab_.interrupted()) break;
      const std::optional<int> exit = lab_.process(node)->Wait(Lab::Millis(0));
      if (!exit.has_value()) continue;
      const std::string ended =
          absl::StrCat("the daemon ended with exit code ", *exit, " (", lab_.name(node), ")");
      say_.Say(absl::StrCat(ended, ". Its log:"));
      say_.Plain(lab_.LogOf(node));
      return cli::WithLine(CodedError(absl::StatusCode::kInternal, "DEMO_STEP_MISSED", ended),
                           "why", "its log is shown above");
    }
    return Missed("five members, seen by each of the five");
  }
  say_.Say(absl::StrCat("Each of the five sees all five, after ",
                        SecondsText(Lab::Clock::now() - begin), "."));
  ShowMembers(0);
  return absl::OkStatus();
}

void Story::ShowMembers(int observer) {
  const auto answer = lab_.Get(observer, "/v1/members?all=1");
  const json::value* data = answer.ok() ? At(*answer, "data") : nullptr;
  if (data == nullptr || !data->is_array()) {
    say_.Say(absl::StrCat(lab_.name(observer), " does not answer."));
    return;
  }
  say_.Plain("");
  say_.Plain(absl::StrFormat("            %-5s %-22s %-8s %-7s %s", "NODE", "ADDRESS", "STATE",
                             "RTT", "TAGS"));
  for (const json::value& member : data->as_array()) {
    const json::value* self = At(member, "self");
    const json::value* rtt = At(member, "rtt_s");
    const json::value* addresses = At(member, "addresses");
    std::string address = "-", tags;
    if (addresses != nullptr && addresses->is_array() && !addresses->as_array().empty() &&
        addresses->as_array()[0].is_string()) {
      address = addresses->as_array()[0].as_string().c_str();
    }
    if (const json::value* object = At(member, "tags"); object != nullptr && object->is_object()) {
      for (const auto& [key, value] : object->as_object()) {
        if (!value.is_string()) continue;
        absl::StrAppend(&tags, tags.empty() ? "" : ",", std::string(key), "=",
                        value.as_string().c_str());
      }
    }
    const bool is_self = self != nullptr && self->is_bool() && self->as_bool();
    say_.Plain(absl::StrFormat(
        "            %-5s %-22s %-8s %-7s %s", Text(member, "name") + (is_self ? "*" : ""), address,
        Text(member, "state"),
        rtt != nullptr && rtt->is_double() ? absl::StrFormat("%.1fms", rtt->as_double() * 1000)
                                           : "-",
        tags));
  }
  say_.Plain(absl::StrCat("            seen from ", lab_.name(observer), "; * this node"));
}

absl::Status Story::ShowCipher() {
  say_.Step("What protects them.");
  std::string algorithm, tls;
  lab_.WaitUntil(Millis(3000), [&] {
    const auto status = lab_.Get(0, "/v1/status");
    if (status.ok()) algorithm = Text(*status, "data.key.algorithm");
    for (const int node : Running()) {
      if (tls.empty()) tls = TlsLineOf(lab_.LogOf(node));
    }
    return algorithm.starts_with("AES-") && !tls.empty();
  });
  const auto status = lab_.Get(0, "/v1/status");
  if (!status.ok() || !algorithm.starts_with("AES-")) return Missed("the cipher of n1's frames");
  if (tls.empty()) return Missed("a logged TLS 1.3 session");
  say_.Say(absl::StrCat("Every datagram is sealed with ", algorithm, ", cluster key ",
                        Text(*status, "data.key.id"), " (a fingerprint; the key is never shown)."));
  say_.Say(absl::StrCat("n1 has sealed ", Text(*status, "data.key.frames_sealed"),
                        " frames so far. State passes over mutual TLS; from a log:"));
  say_.Plain("            " + tls);
  return absl::OkStatus();
}

absl::Status Story::WaitState(const std::vector<int>& observers, int member, std::string_view state,
                              Millis limit, Lab::Clock::time_point begin) {
  std::set<int> waiting(observers.begin(), observers.end());
  const bool all = lab_.WaitUntil(limit, [&] {
    for (auto it = waiting.begin(); it != waiting.end();) {
      const auto states = lab_.StatesAt(*it);
      const auto found = states.find(lab_.name(member));
      if (found == states.end() || found->second != state) {
        ++it;
        continue;
      }
      say_.Say(absl::StrCat(lab_.name(*it), " knows that ", lab_.name(member), " is ",
                            std::string(state), " after ", SecondsText(Lab::Clock::now() - begin)));
      it = waiting.erase(it);
    }
    return waiting.empty();
  });
  if (all) return absl::OkStatus();
  return Missed(absl::StrCat(Names(lab_, {waiting.begin(), waiting.end()}), " see ",
                             lab_.name(member), " ", std::string(state)));
}

absl::Status Story::KillOne(int victim) {
  say_.Step(absl::StrCat("Killing ", lab_.name(victim), " with SIGKILL; it cannot say goodbye."));
  const auto begin = Lab::Clock::now();
  lab_.Kill(victim);
  return WaitState(Running(), victim, "dead", kDeathLimit, begin);
}

absl::Status Story::Restart(int node) {
  say_.Step(absl::StrCat("Starting ", lab_.name(node), " again, with the same name and folder."));
  const auto begin = Lab::Clock::now();
  SOTTO_RETURN_IF_ERROR(lab_.Start(node));
  std::vector<int> all = Running();
  if (!lab_.WaitAgree(all, all, kRestartLimit)) {
    return Missed(absl::StrCat("everyone sees ", lab_.name(node), " alive again"));
  }
  say_.Say(absl::StrCat("Accepted by all, after ", SecondsText(Lab::Clock::now() - begin),
                        "; boot ", lab_.StatusNumber(node, "incarnation.boot_number"),
                        " of its life outranks what was said of the last one."));
  return absl::OkStatus();
}

absl::Status Story::Partition() {
  say_.Step("Cutting the network in two: {n1 n2} | {n3 n4 n5}. Nothing passes between them.");
  lab_.relay()->Partition({{0, 1}, {2, 3, 4}});
  return absl::OkStatus();
}

absl::Status Story::Heal() {
  say_.Step("Healing the network.");
  lab_.relay()->Heal();
  const auto begin = Lab::Clock::now();
  const std::vector<int> all = Running();
  if (!lab_.WaitAgree(all, all, kHealLimit)) return Missed("one view again");
  say_.Say(absl::StrCat("One view again, ", all.size(), " of ", all.size(), " agree, after ",
                        SecondsText(Lab::Clock::now() - begin), ". Nobody living was buried."));
  return absl::OkStatus();
}

absl::Status Story::CutAndHeal() {
  SOTTO_RETURN_IF_ERROR(Partition());
  const auto begin = Lab::Clock::now();
  bool few = false, many = false;
  const bool apart = lab_.WaitUntil(kPartitionLimit, [&] {
    const auto elapsed = Lab::Clock::now() - begin;
    if (!few && lab_.AllAgree({0, 1}, {0, 1})) {
      few = true;
      say_.Say(absl::StrCat("n1 and n2 see only each other, after ", SecondsText(elapsed)));
    }
    if (!many && lab_.AllAgree({2, 3, 4}, {2, 3, 4})) {
      many = true;
      say_.Say(absl::StrCat("n3, n4 and n5 see only each other, after ", SecondsText(elapsed)));
    }
    return few && many;
  });
  if (!apart) return Missed("two views, of 2 and of 3 members");
  for (const int node : {0, 2}) {
    const auto status = lab_.Get(node, "/v1/status");
    if (!status.ok()) continue;
    const json::value* minority = At(*status, "data.standing.minority");
    if (minority != nullptr && minority->is_bool() && minority->as_bool()) {
      say_.Say(absl::StrCat(lab_.name(node), " says of itself that it is in the minority."));
    }
  }
  return Heal();
}

absl::Status Story::LeaveOne(int node) {
  say_.Step(absl::StrCat(lab_.name(node), " leaves, and says so."));
  const auto begin = Lab::Clock::now();
  SOTTO_RETURN_IF_ERROR(lab_.Post(node, "/v1/leave", json::object{{"timeout_s", 5}}).status());
  SOTTO_RETURN_IF_ERROR(WaitState(Without(Running(), node), node, "left", kLeaveLimit, begin));
  const auto code = lab_.process(node)->Wait(kLeaveLimit);
  if (code != 0) return Missed(absl::StrCat(lab_.name(node), " ends with exit code 0"));
  say_.Say(absl::StrCat(lab_.name(node), " ended with exit code 0."));
  return absl::OkStatus();
}

absl::StatusOr<int> Story::AddForeigner(bool foreign_certificate) {
  LabNodeSpec spec;
  spec.name = foreign_certificate ? "mallory" : "trudy";
  if (foreign_certificate) {
    // Another CA of the same name, and a certificate that claims to be of this cluster.
    SOTTO_ASSIGN_OR_RETURN(
        const PemPair ca,
        CreateAuthority(
            lab_.options().cluster, SigningKeyKind::kP256,
            std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()) - 300));
    IssueRequest request;
    request.identity = {lab_.options().cluster, CertificateRole::kNode, spec.name};
    request.not_before_unix_s =
        std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()) - 300;
    request.not_after_unix_s = request.not_before_unix_s + 86'400;
    SOTTO_ASSIGN_OR_RETURN(spec.certificate, IssueCertificate(ca, request));
    // It trusts its own CA and the cluster's, so that the refusal is the cluster's.
    spec.ca_pem = ca.certificate_pem + lab_.authority().certificate_pem;
  } else {
    const std::string path = lab_.folder() + "/foreign.db";
    spec.store_url = "sqlite:" + path;
    StoreOptions options;
    options.create = true;
    SOTTO_ASSIGN_OR_RETURN(auto table, OpenSystemsTable(spec.store_url, options));
    SOTTO_ASSIGN_OR_RETURN(const std::string key, GenerateKeyText());
    SOTTO_RETURN_IF_ERROR(table->InsertIfAbsent(kClusterKeyRow, key).status());
  }
  return lab_.AddNode(spec);
}

std::map<std::string, int64_t> Story::Refusals() {
  std::map<std::string, int64_t> out;
  for (const int node : Running()) {
    const auto status = lab_.Get(node, "/v1/status");
    if (!status.ok()) continue;
    for (const char* path : {"data.sync.refused", "data.frames.dropped"}) {
      const json::value* counts = At(*status, path);
      if (counts == nullptr || !counts->is_object()) continue;
      for (const auto& [code, count] : counts->as_object()) {
        if (count.is_number() && count.to_number<int64_t>() > 0) {
          out[std::string(code)] += count.to_number<int64_t>();
        }
      }
    }
  }
  return out;
}

absl::Status Story::Foreigners() {
  const struct {
    bool certificate;
    const char* text;
    std::vector<std::string> codes;  // one of them must be counted
  } kCases[] = {
      {true,
       "A stranger with the right key and a certificate of another CA knocks: mallory.",
       {"CERT_UNTRUSTED", "unknown_certificate"}},
      {false,
       "A stranger with a certificate of this CA and another key knocks: trudy.",
       {"KEY_MISMATCH", "KEY_BEHIND", "unknown_key"}},
  };
  for (const auto& it : kCases) {
    say_.Step(it.text);
    const auto before = Refusals();
    SOTTO_ASSIGN_OR_RETURN(const int stranger, AddForeigner(it.certificate));
    SOTTO_RETURN_IF_ERROR(lab_.Start(stranger));
    std::string seen;
    const bool refused = lab_.WaitUntil(kRefusedLimit, [&] {
      for (const auto& [code, count] : Refusals()) {
        const auto old = before.find(code);
        if (std::find(it.codes.begin(), it.codes.end(), code) != it.codes.end() &&
            count > (old == before.end() ? 0 : old->second)) {
          seen = code;
          return true;
        }
      }
      return false;
    });
    if (!refused) return Missed(absl::StrCat(lab_.name(stranger), " refused by somebody"));
    // It goes on knocking; it must go on being nobody.
    std::string listed_by;
    if (lab_.WaitUntil(kAbsentFor, [&] {
          for (const int node : Running()) {
            if (lab_.StatesAt(node).contains(lab_.name(stranger))) listed_by = lab_.name(node);
          }
          return !listed_by.empty();
        })) {
      return Missed(absl::StrCat(lab_.name(stranger), " in no table; ", listed_by, " lists it"));
    }
    say_.Say(absl::StrCat("Refused: the members count ", seen, ", and none of them lists ",
                          lab_.name(stranger), ". `sotto explain ", seen, "` says more."));
    lab_.Kill(stranger);
  }
  return absl::OkStatus();
}

absl::Status Story::Tell() {
  SOTTO_RETURN_IF_ERROR(KillOne(2));
  SOTTO_RETURN_IF_ERROR(Restart(2));
  SOTTO_RETURN_IF_ERROR(CutAndHeal());
  SOTTO_RETURN_IF_ERROR(RotateWithoutOne(4));
  SOTTO_RETURN_IF_ERROR(RawUpdate());
  SOTTO_RETURN_IF_ERROR(LeaveOne(4));
  SOTTO_RETURN_IF_ERROR(Foreigners());
  ShowMembers(0);
  return absl::OkStatus();
}

}  // namespace sotto
