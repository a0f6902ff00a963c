#include "cmd/sottod/health.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sotto {
namespace {

// Renewal is due at two thirds of 30 days; 5 days before the end it has failed for 5 days (S6).
constexpr int64_t kCertificateAlarmS = 5 * 86'400;
constexpr int64_t kRecentRefusalMs = 10 * 60 * 1000;
constexpr double kKeyTroubleS = 60;
// A start that has not announced itself by then waits for something.
constexpr double kAnnounceS = 10;
// Half of Lifeguard's scale: timers stretched fivefold.
constexpr int kHealthScoreNote = 4;

using Notes = std::vector<HealthNote>;

void Add(Notes& notes, NoteLevel level, std::string_view code, std::string text) {
  notes.push_back({std::string(code), level, std::move(text)});
}

void AddStanding(const DaemonSnapshot& s, Notes& notes) {
  const Standing& standing = s.view->standing;
  if (standing.left) {
    Add(notes, NoteLevel::kYellow, "LEFT", "this node has said goodbye; it hears and says nothing");
    return;
  }
  if (standing.name_conflict) {
    Add(notes, NoteLevel::kRed, "NAME_CONFLICT",
        absl::StrCat("another process runs under the name ", s.node, "; this one is silent"));
  }
  if (standing.isolated) {
    Add(notes, NoteLevel::kRed, "ISOLATED",
        "nobody has been heard for two probe rounds, or others are heard and none answers");
  } else if (standing.minority) {
    Add(notes, NoteLevel::kRed, "MINORITY", "fewer than half of the known members are alive here");
  }
  if (!standing.announced && !standing.name_conflict && s.up_s > kAnnounceS) {
    Add(notes, NoteLevel::kYellow, "NOT_ANNOUNCED",
        absl::StrFormat("up for %.0f s, and not announced to the cluster yet", s.up_s));
  }
  if (standing.health_score >= kHealthScoreNote) {
    Add(notes, NoteLevel::kYellow, "SLOW_NODE",
        absl::StrCat("this node misses its own deadlines (score ", standing.health_score,
                     " of 8); its timers are stretched"));
  }
  if (standing.sends_refused > 0) {
    Add(notes, NoteLevel::kYellow, "SENDS_REFUSED",
        absl::StrCat("this machine refuses datagrams to ", standing.sends_refused, " members"));
  }
  if (s.key_trouble_s_ago && *s.key_trouble_s_ago < kKeyTroubleS) {
    Add(notes, NoteLevel::kRed, "KEY_TROUBLE",
        absl::StrFormat("frames of known members did not open %.0f s ago: the keys differ",
                        *s.key_trouble_s_ago));
  }
}

void AddStore(const DaemonSnapshot& s, Notes& notes) {
  if (s.store.ok) return;
  // A key row that cannot be used needs a person; a database that is away only keeps rotation off.
  const bool about_key = s.store.code.starts_with("KEY") || s.store.code.starts_with("KEK");
  Add(notes, about_key ? NoteLevel::kRed : NoteLevel::kYellow, s.store.code,
      absl::StrCat(s.store.message, "; the keys read before stay in use"));
}

void AddCertificates(const DaemonSnapshot& s, Notes& notes) {
  const int64_t now_s = s.unix_ms / 1000;
  for (const CertificateSummary& certificate : s.certificates) {
    const int64_t left_s = certificate.not_after_unix_s - now_s;
    const std::string who = certificate.use == "node"
                                ? "the node certificate"
                                : absl::StrCat("the CA ", certificate.subject);
    if (left_s <= 0) {
      Add(notes, NoteLevel::kRed, "CERT_EXPIRED", who + " has expired");
    } else if (left_s < kCertificateAlarmS) {
      Add(notes, NoteLevel::kYellow, "CERT_EXPIRES_SOON",
          absl::StrFormat("%s expires in %.1f days", who, static_cast<double>(left_s) / 86'400));
    }
  }
}

// A peer that gave up, or a line that broke, has not been refused. A frame in a stream that does
// not open has: its key is another one.
bool IsRefusalOfPeer(const std::string& code) {
  if (code == "STREAM_FRAME_REFUSED") return true;
  return code != "TLS_PEER_CLOSED" && !code.starts_with("STREAM_");
}

void AddRefusals(const DaemonSnapshot& s, Notes& notes) {
  std::map<std::string, size_t> by_code;
  const Refusal* last = nullptr;
  for (const Refusal& refusal : s.refusals) {
    if (s.unix_ms - refusal.unix_ms > kRecentRefusalMs) continue;
    if (!IsRefusalOfPeer(refusal.code)) continue;
    ++by_code[refusal.code];
    last = &refusal;
  }
  if (last == nullptr) return;
  std::string counts;
  for (const auto& [code, count] : by_code) {
    absl::StrAppend(&counts, counts.empty() ? "" : ", ", code, " ", count);
  }
  // A stranger may knock at any node; one that nobody of its cluster takes in has the wrong key.
  const bool is_alone =
      std::none_of(s.view->members.begin(), s.view->members.end(), [](const MemberInfo& member) {
        return !member.is_self && member.state <= MemberState::kSuspect;
      });
  const bool is_key = by_code.count("KEY_MISMATCH") > 0;
  Add(notes, is_alone && is_key ? NoteLevel::kYellow : NoteLevel::kNote, "PEERS_REFUSED",
      absl::StrCat("refused in the last 10 minutes: ", counts, "; the last from ", last->peer));
}

void AddHandlers(const DaemonSnapshot& s, Notes& notes) {
  for (const HandlerStats& handler : s.handlers) {
    if (!handler.last_error.empty()) {
      Add(notes, NoteLevel::kYellow, "HANDLER_TROUBLE",
          absl::StrCat("the last run of a handler failed: ", handler.last_error));
    } else if (handler.waiting > 0 && handler.dropped > 0) {
      Add(notes, NoteLevel::kYellow, "HANDLER_TROUBLE",
          absl::StrCat(handler.program, " is slower than its events come: ", handler.waiting,
                       " wait, ", handler.dropped, " were dropped"));
    }
  }
}

void AddViews(const DaemonSnapshot& s, Notes& notes) {
  const NodeView& view = *s.view;
  if (view.views_agree < view.views_known) {
    Add(notes, NoteLevel::kNote, "VIEWS_DIFFER",
        absl::StrCat(view.views_agree, " of ", view.views_known,
                     " members last heard hold the same table"));
  }
  if (view.algorithm == AeadAlgorithm::kAes128Gcm) {
    Add(notes, NoteLevel::kNote, "KEY_128_BIT",
        "the cluster key is of 128 bits; new ones have 256");
  }
}

}  // namespace

std::vector<HealthNote> FindHealthNotes(const DaemonSnapshot& snapshot) {
  Notes notes = snapshot.lasting_notes;
  AddStanding(snapshot, notes);
  AddStore(snapshot, notes);
  AddCertificates(snapshot, notes);
  AddRefusals(snapshot, notes);
  AddViews(snapshot, notes);
  AddHandlers(snapshot, notes);
  std::stable_sort(notes.begin(), notes.end(), [](const HealthNote& a, const HealthNote& b) {
    return a.level != b.level ? a.level > b.level : a.code < b.code;
  });
  return notes;
}

std::string_view OverallHealth(const std::vector<HealthNote>& notes) {
  NoteLevel worst = NoteLevel::kNote;
  for (const HealthNote& note : notes) worst = std::max(worst, note.level);
  switch (worst) {
    case NoteLevel::kNote:
      return "healthy";
    case NoteLevel::kYellow:
      return "warning";
    case NoteLevel::kRed:
      return "critical";
  }
  return "critical";
}

std::string_view ToString(NoteLevel level) {
  switch (level) {
    case NoteLevel::kNote:
      return "note";
    case NoteLevel::kYellow:
      return "yellow";
    case NoteLevel::kRed:
      return "red";
  }
  return "red";
}

}  // namespace sotto
