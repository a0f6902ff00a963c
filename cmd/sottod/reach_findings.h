// From what the members say of each other to sentences: which direction, which protocol, and what
// to look at.
#ifndef SOTTO_CMD_SOTTOD_REACH_FINDINGS_H_
#define SOTTO_CMD_SOTTOD_REACH_FINDINGS_H_

#include <string>
#include <vector>

#include "cmd/sottod/cluster_talk.h"
#include "gossip/event.h"

namespace sotto {

// One fault. Where many point at one member, they are one finding about it.
struct ReachFinding {
  std::string from;  // "*": everybody
  std::string to;    // "*": everybody
  std::string what;  // "nothing", "tcp_only"
  std::string text;
  std::string fix;
};

// `rows` gives the addresses that the sentences name.
std::vector<ReachFinding> FindReachFaults(const ReachReport& report,
                                          const std::vector<MemberInfo>& rows);

// "not_asked", "udp", "tcp", "nothing".
std::string_view ToString(Hearing hearing);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_REACH_FINDINGS_H_
