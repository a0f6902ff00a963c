#include "cmd/sottod/reach_findings.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/endpoint_text.h"

namespace sotto {
namespace {

class Finder {
 public:
  Finder(const ReachReport& report, const std::vector<MemberInfo>& rows)
      : report_(report), rows_(rows) {}

  std::vector<ReachFinding> Run() {
    FindWholeMembers(Hearing::kNothing);
    FindWholeMembers(Hearing::kTcpOnly);
    FindPairs();
    return std::move(findings_);
  }

 private:
  Hearing At(const std::string& from, size_t to) const {
    const auto row = report_.rows.find(from);
    return row == report_.rows.end() || to >= row->second.size() ? Hearing::kNotAsked
                                                                 : row->second[to];
  }

  size_t IndexOf(const std::string& name) const {
    return static_cast<size_t>(std::find(report_.members.begin(), report_.members.end(), name) -
                               report_.members.begin());
  }

  std::string AddressOf(const std::string& name) const {
    for (const MemberInfo& row : rows_) {
      if (row.name == name && row.claims != nullptr && !row.claims->addresses.empty()) {
        return ToString(row.claims->addresses.front());
      }
    }
    return "its address";
  }

  static std::string PortOf(const std::string& address) {
    const size_t colon = address.rfind(':');
    return colon == std::string::npos ? "its port" : address.substr(colon + 1);
  }

  // A member that three others and more, and all that have asked, find like this: it is about that
  // member, not about each pair.
  void FindWholeMembers(Hearing fault) {
    for (size_t to = 0; to < report_.members.size(); ++to) {
      const std::string& name = report_.members[to];
      std::vector<std::string> finders;
      size_t asked = 0;
      for (const std::string& from : report_.members) {
        if (from == name || At(from, to) == Hearing::kNotAsked) continue;
        ++asked;
        if (At(from, to) == fault) finders.push_back(from);
      }
      if (finders.size() < 3 || finders.size() < asked) continue;
      for (const std::string& from : finders) told_.emplace(from, name);
      AddWhole(name, fault);
    }
  }

  void AddWhole(const std::string& name, Hearing fault) {
    const std::string address = AddressOf(name);
    ReachFinding finding{"*", name, "nothing", "", ""};
    if (fault == Hearing::kNothing) {
      finding.text = absl::StrCat("* -> ", name, ": nobody gets a direct answer from ", address,
                                  ", udp or tcp: its process hangs or is cut off, or its firewall "
                                  "lets nothing in");
      finding.fix = absl::StrCat("on ", name, ": systemctl status sottod; nft list ruleset");
    } else {
      finding.what = "tcp_only";
      finding.text = absl::StrCat("* -> ", name, ": tcp reaches ", address,
                                  ", udp does not, from nobody: its firewall drops UDP");
      finding.fix = absl::StrCat("on ", name, ": let UDP port ", PortOf(address), " in and out");
    }
    findings_.push_back(std::move(finding));
  }

  void FindPairs() {
    for (const std::string& from : report_.members) {
      for (size_t to = 0; to < report_.members.size(); ++to) {
        const std::string& name = report_.members[to];
        const Hearing there = At(from, to);
        const bool is_fault = there == Hearing::kNothing || there == Hearing::kTcpOnly;
        if (from == name || !is_fault || told_.contains({from, name})) continue;
        AddPair(from, name, there, At(name, IndexOf(from)));
      }
    }
  }

  void AddPair(const std::string& from, const std::string& to, Hearing there, Hearing back) {
    const std::string address = AddressOf(to);
    const std::string head = absl::StrCat(from, " -> ", to, ": ");
    ReachFinding finding{from, to, "nothing", "", ""};
    if (there == Hearing::kTcpOnly) {
      finding.what = "tcp_only";
      finding.text = absl::StrCat(head, "tcp reaches ", address, ", udp does not come back");
      finding.fix = absl::StrCat("let UDP port ", PortOf(address), " pass between ",
                                 AddressOf(from), " and ", address, ", both ways");
    } else if (back == Hearing::kUdp || back == Hearing::kTcpOnly) {
      finding.text = absl::StrCat(head, "no direct answer from ", address, ", udp or tcp, while ",
                                  to, " -> ", from, " works. One-way block");
      finding.fix = absl::StrCat("check the firewall in front of ", to, " for new traffic from ",
                                 AddressOf(from));
    } else if (back == Hearing::kNothing) {
      finding.text = absl::StrCat(head, "no direct answer from ", address,
                                  ", udp or tcp, nor the other way. One direction that is blocked "
                                  "looks the same, since no answer passes");
      finding.fix = absl::StrCat("check routes and firewalls between ", AddressOf(from), " and ",
                                 address, ", UDP and TCP");
    } else {
      finding.text = absl::StrCat(head, "no direct answer from ", address, ", udp or tcp; ", to,
                                  " -> ", from, " is not known");
      finding.fix = absl::StrCat("on ", to, ": sotto ping ", from);
    }
    findings_.push_back(std::move(finding));
  }

  const ReachReport& report_;
  const std::vector<MemberInfo>& rows_;
  std::set<std::pair<std::string, std::string>> told_;
  std::vector<ReachFinding> findings_;
};

}  // namespace

std::vector<ReachFinding> FindReachFaults(const ReachReport& report,
                                          const std::vector<MemberInfo>& rows) {
  return Finder(report, rows).Run();
}

std::string_view ToString(Hearing hearing) {
  switch (hearing) {
    case Hearing::kNotAsked:
      return "not_asked";
    case Hearing::kUdp:
      return "udp";
    case Hearing::kTcpOnly:
      return "tcp";
    case Hearing::kNothing:
      return "nothing";
  }
  return "not_asked";
}

}  // namespace sotto
