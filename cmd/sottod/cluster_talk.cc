#include "cmd/sottod/cluster_talk.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace sotto {
namespace {

std::string RelaysText(const CaseEvidence& evidence) {
  if (evidence.relays_asked == 0) return "nobody else could be asked";
  const int mute = evidence.relays_asked - evidence.relays_nacked;
  std::vector<std::string> parts = {
      absl::StrCat(evidence.relays_asked,
                   evidence.relays_asked == 1 ? " other was asked" : " others were asked")};
  if (evidence.relays_nacked > 0) {
    parts.push_back(absl::StrCat(evidence.relays_nacked, " heard nothing either"));
  }
  if (mute > 0) parts.push_back(absl::StrCat(mute, " did not say"));
  return absl::StrJoin(parts, ", ");
}

std::string StreamText(const std::string& stream) {
  if (stream == "not_tried") return "TCP was not tried";
  if (stream == "failed") return "TCP did not answer either";
  return absl::StrCat("TCP ", stream);
}

}  // namespace

std::string EvidenceText(const CaseAccuser& accuser) {
  if (!accuser.evidence) return "it gave no evidence";
  const CaseEvidence& evidence = *accuser.evidence;
  std::vector<std::string> parts = {
      evidence.direct_failed ? "its ping was not answered" : "it did not ping it itself",
      RelaysText(evidence), StreamText(evidence.stream),
      absl::StrFormat("it had heard nothing from it for %.1f s",
                      static_cast<double>(evidence.silent_for.nanos()) / 1e9)};
  if (evidence.health_score > 0) {
    parts.push_back(absl::StrCat(accuser.name, " itself was slow (health score ",
                                 evidence.health_score, " of 8)"));
  }
  return absl::StrJoin(parts, "; ");
}

}  // namespace sotto
