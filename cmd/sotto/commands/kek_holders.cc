#include "cmd/sotto/commands/kek_holders.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/text.h"
#include "gossip/base/coded_error.h"

namespace sotto::cli {

std::optional<KekHolders> KekHolders::Ask(const Context& context, const std::string& cluster) {
  const auto client = context.Client();
  if (!client.ok()) return std::nullopt;
  const auto status = ApiKeyCalls(*client).Look(/*ask=*/true);
  if (!status.ok() || status->cluster != cluster) return std::nullopt;
  KekHolders out;
  for (const KeyHolder& member : status->members) {
    if (member.living) {
      out.living_.push_back(member);
    } else if (member.in_store && IsKnown(member)) {
      out.absent_.push_back(member.name);
    }
  }
  return out;
}

std::vector<std::string> KekHolders::NamesOf(const KekId& kek, bool having) const {
  std::vector<std::string> names;
  for (const KeyHolder& member : living_) {
    if (!member.keks) continue;
    const bool has =
        std::find(member.keks->begin(), member.keks->end(), ToString(kek)) != member.keks->end();
    if (has == having) names.push_back(member.name);
  }
  return names;
}

std::vector<std::string> KekHolders::Having(const KekId& kek) const { return NamesOf(kek, true); }
std::vector<std::string> KekHolders::Lacking(const KekId& kek) const { return NamesOf(kek, false); }

std::vector<std::string> KekHolders::Silent() const {
  std::vector<std::string> names;
  for (const KeyHolder& member : living_) {
    if (!member.keks) names.push_back(member.name);
  }
  return names;
}

absl::Status KekHolders::Check(const std::vector<KekId>& keks,
                               const std::vector<std::string>& skip) const {
  std::set<std::string> stops;
  std::vector<std::string> reasons;
  const auto note = [&](std::vector<std::string> names, const std::string& what) {
    std::erase_if(names, [&](const std::string& name) {
      return std::find(skip.begin(), skip.end(), name) != skip.end();
    });
    if (names.empty()) return;
    stops.insert(names.begin(), names.end());
    for (const std::string& name : names) reasons.push_back(absl::StrCat(name, " ", what));
  };
  for (const KekId& kek : keks) {
    note(Lacking(kek), "has not loaded " + ToString(kek));
  }
  note(Silent(), "does not say what it has loaded");
  if (stops.empty()) return absl::OkStatus();
  stops.insert(skip.begin(), skip.end());
  const std::string again =
      "sotto kek rekey" + RepeatFlag("--skip", std::vector(stops.begin(), stops.end()));
  return WithLine(
      WithLine(
          WithLine(CodedError(absl::StatusCode::kFailedPrecondition, "KEK_NOT_LOADED",
                              absl::StrCat("living members would be shut out: ",
                                           absl::StrJoin(reasons, "; "))),
                   "state", "nothing was changed"),
          "do",
          "put the key beside their old one, systemctl reload sottod there, then run this again"),
      "do", "or go on without them: " + again);
}

}  // namespace sotto::cli
