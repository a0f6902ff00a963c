#include "cmd/sottod/api_json.h"

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cmd/sottod/health.h"
#include "cmd/sottod/json_parts.h"
#include "cmd/sottod/text.h"
#include "crypto/frame_codec.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/codes.h"

namespace sotto {
namespace {

namespace json = boost::json;

constexpr int kApiVersion = 1;

Observer ObserverOf(const DaemonSnapshot& s) { return {s.node, s.unix_ms}; }

json::array Endpoints(const std::vector<Endpoint>& endpoints) {
  json::array out;
  for (const Endpoint& endpoint : endpoints) out.push_back(Text(ToString(endpoint)));
  return out;
}

json::object MemberObject(const DaemonSnapshot& s, const MemberInfo& member) {
  json::object out;
  out["name"] = Text(member.name);
  out["self"] = member.is_self;
  out["state"] = Text(ToString(member.state));
  out["since_s"] = std::max(0.0, Seconds(s.now - member.since));
  out["addresses"] = Endpoints(member.claims->addresses);
  out["tags"] = TagsObject(member.claims->tags);
  out["incarnation"] = IncarnationJson(member.incarnation);
  out["boot_id"] = Text(Hex(member.claims->boot_id.bytes));
  out["rtt_s"] = member.rtt ? json::value(Seconds(*member.rtt)) : json::value(nullptr);
  out["suspected_by"] = Texts(member.accusers);
  out["dies_in_s"] = member.dies_at ? json::value(std::max(0.0, Seconds(*member.dies_at - s.now)))
                                    : json::value(nullptr);
  out["certificate_sha256"] =
      member.owner ? json::value(Text(Hex(member.owner->certificate.bytes))) : json::value(nullptr);
  out["certificate_not_after"] =
      member.claims->not_after_unix_s != 0
          ? json::value(Text(UtcSeconds(member.claims->not_after_unix_s)))
          : json::value(nullptr);
  return out;
}

bool IsShown(const DaemonSnapshot& s, const MemberInfo& member) {
  switch (member.state) {
    case MemberState::kAlive:
    case MemberState::kSuspect:
      return true;
    case MemberState::kDead:
      return s.now - member.since <= s.show_dead;
    case MemberState::kLeft:
      return s.now - member.since <= s.show_left;
    case MemberState::kForgotten:
      return false;
  }
  return true;
}

json::object CountMembers(const NodeView& view) {
  uint64_t counts[5] = {};
  for (const MemberInfo& member : view.members) ++counts[static_cast<size_t>(member.state)];
  json::object out;
  for (const MemberState state : {MemberState::kAlive, MemberState::kSuspect, MemberState::kDead,
                                  MemberState::kLeft, MemberState::kForgotten}) {
    out[ToString(state)] = counts[static_cast<size_t>(state)];
  }
  return out;
}

json::object StandingJson(const Standing& standing) {
  return {
      {"announced", standing.announced},       {"isolated", standing.isolated},
      {"minority", standing.minority},         {"name_conflict", standing.name_conflict},
      {"leaving", standing.leaving},           {"left", standing.left},
      {"health_score", standing.health_score}, {"broadcasts_queued", standing.broadcasts_queued}};
}

json::object FramesJson(const NodeStats& stats) {
  json::object dropped;
  for (size_t i = 1; i < kDropReasons; ++i) {
    dropped[ToString(static_cast<DropReason>(i))] = stats.drops[i];
  }
  return {{"sent", stats.frames_sent},          {"received", stats.frames_received},
          {"hellos_sent", stats.hellos_sent},   {"hellos_received", stats.hellos_received},
          {"bytes_sent", stats.udp_bytes_sent}, {"bytes_received", stats.udp_bytes_received},
          {"send_errors", stats.send_errors},   {"dropped", std::move(dropped)}};
}

json::object SyncJson(const NodeStats& stats) {
  json::object refused;
  for (const auto& [code, count] : stats.refusals) refused[ValidUtf8(code)] = count;
  return {{"equal", stats.syncs_equal},          {"merged", stats.syncs_merged},
          {"failed", stats.syncs_failed},        {"busy", stats.syncs_busy},
          {"bytes_sent", stats.sync_bytes_sent}, {"bytes_received", stats.sync_bytes_received},
          {"tls_accepted", stats.tls_accepted},  {"tls_dialed", stats.tls_dialed},
          {"refused", std::move(refused)}};
}

json::object StoreJson(const StoreSummary& store) {
  return {{"url", Text(store.url)},
          {"ok", store.ok},
          {"code", NullIfEmpty(store.code)},
          {"message", NullIfEmpty(store.message)},
          {"last_read_s_ago", NullOr(store.last_read_s_ago)},
          {"read_ms", NullOr(store.read_ms)}};
}

json::object KeyObject(const DaemonSnapshot& s) {
  const NodeView& view = *s.view;
  uint64_t generation = 0;
  for (const KeySummary& key : s.keys) {
    if (key.id == view.sealing_key) generation = key.generation;
  }
  return {{"id", Text(ToString(view.sealing_key))},
          {"algorithm", Text(ToString(view.algorithm))},
          {"generation", generation},
          {"frames_sealed", s.stats.frames_sealed},
          {"held", view.keys.size()}};
}

json::value CertificateBrief(const DaemonSnapshot& s) {
  for (const CertificateSummary& certificate : s.certificates) {
    if (certificate.use != "node") continue;
    return {{"subject", Text(certificate.subject)},
            {"not_after", Text(UtcSeconds(certificate.not_after_unix_s))},
            {"valid_s", certificate.not_after_unix_s - s.unix_ms / 1000}};
  }
  return nullptr;
}

json::array HandlersJson(const std::vector<HandlerStats>& handlers) {
  json::array out;
  for (const HandlerStats& handler : handlers) {
    out.push_back(json::object{{"on", Texts(handler.on)},
                               {"program", Text(handler.program)},
                               {"runs", handler.runs},
                               {"failed", handler.failed},
                               {"dropped", handler.dropped},
                               {"waiting", handler.waiting},
                               {"last_error", NullIfEmpty(handler.last_error)}});
  }
  return out;
}

// The node's clock as wall clock.
json::string TimeOf(const DaemonSnapshot& s, Instant at) {
  return Text(UtcMillis(s.unix_ms - (s.now - at).nanos() / 1'000'000));
}

json::value EvidenceJson(const std::optional<CaseEvidence>& evidence) {
  if (!evidence) return nullptr;
  return json::object{
      {"direct_failed", evidence->direct_failed},  {"relays_asked", evidence->relays_asked},
      {"relays_nacked", evidence->relays_nacked},  {"stream", Text(evidence->stream)},
      {"silent_s", Seconds(evidence->silent_for)}, {"health_score", evidence->health_score}};
}

json::array CasesJson(const DaemonSnapshot& s, const std::vector<CaseSummary>& cases) {
  json::array out;
  for (const CaseSummary& one : cases) {
    json::array accusers;
    for (const CaseAccuser& accuser : one.accusers) {
      accusers.push_back(json::object{{"name", Text(accuser.name)},
                                      {"said", Text(accuser.kind)},
                                      {"heard", TimeOf(s, accuser.heard)},
                                      {"evidence", EvidenceJson(accuser.evidence)},
                                      {"text", Text(EvidenceText(accuser))}});
    }
    out.push_back(json::object{
        {"began", TimeOf(s, one.began)},
        {"ended", one.ended ? json::value(TimeOf(s, *one.ended)) : json::value(nullptr)},
        {"incarnation", IncarnationJson(one.incarnation)},
        {"end", Text(one.end)},
        {"answered_with", one.answered_with ? json::value(IncarnationJson(*one.answered_with))
                                            : json::value(nullptr)},
        {"accusers", std::move(accusers)}});
  }
  return out;
}

json::array RefusalsJson(const std::vector<Refusal>& refusals) {
  json::array out;
  for (const Refusal& refusal : refusals) {
    out.push_back(json::object{{"at", Text(UtcMillis(refusal.unix_ms))},
                               {"code", Text(refusal.code)},
                               {"peer", Text(refusal.peer)},
                               {"message", Text(refusal.message)}});
  }
  return out;
}

json::object EventObject(const RingEvent& event) {
  json::object out{{"seq", event.seq},
                   {"t", Text(UtcMillis(event.unix_ms))},
                   {"event", Text(event.event)},
                   {"member", Text(event.member)},
                   {"by", Texts(event.by)},
                   {"incarnation", IncarnationJson(event.incarnation)},
                   {"detail", Text(event.detail)}};
  if (event.said) {
    out["name"] = Text(event.said->name);
    AddPayload(event.said->payload, out);
    out["lamport"] = event.said->lamport;
    out["replayed"] = event.said->replayed;
  }
  return out;
}

}  // namespace

std::string VersionJson(const Observer& observer, std::string_view version) {
  return Serialize(Envelope(
      "sotto.version/1", observer,
      json::object{
          {"version", Text(version)}, {"api", kApiVersion}, {"frame_version", kFrameVersion}}));
}

std::string StatusJson(const DaemonSnapshot& s) {
  const NodeView& view = *s.view;
  const std::vector<HealthNote> notes = FindHealthNotes(s);
  json::array notes_json;
  for (const HealthNote& note : notes) {
    notes_json.push_back(json::object{{"code", Text(note.code)},
                                      {"level", Text(ToString(note.level))},
                                      {"text", Text(note.text)}});
  }
  json::object data;
  data["cluster"] = Text(s.cluster);
  data["node"] = Text(s.node);
  data["version"] = Text(s.version);
  data["pid"] = s.pid;
  data["up_s"] = s.up_s;
  data["health"] = Text(OverallHealth(notes));
  data["notes"] = std::move(notes_json);
  data["members"] = CountMembers(view);
  data["views"] = json::object{{"agree", view.views_agree},
                               {"known", view.views_known},
                               {"set_hash", Text(absl::StrFormat("%016x", view.set_hash.low))}};
  data["standing"] = StandingJson(view.standing);
  data["incarnation"] = IncarnationJson(view.incarnation);
  data["boot_id"] = Text(Hex(view.boot_id.bytes));
  data["bound"] = Endpoints(view.bound);
  data["advertised"] = Endpoints(view.advertised);
  data["key"] = KeyObject(s);
  data["frames"] = FramesJson(s.stats);
  data["sync"] = SyncJson(s.stats);
  data["store"] = StoreJson(s.store);
  data["certificate"] = CertificateBrief(s);
  data["refusals"] = RefusalsJson(s.refusals);
  data["handlers"] = HandlersJson(s.handlers);
  return Serialize(Envelope("sotto.status/1", ObserverOf(s), std::move(data)));
}

std::string MembersJson(const DaemonSnapshot& s, bool all) {
  json::array members;
  for (const MemberInfo& member : s.view->members) {
    if (all || IsShown(s, member)) members.push_back(MemberObject(s, member));
  }
  return Serialize(Envelope("sotto.members/1", ObserverOf(s), std::move(members)));
}

absl::StatusOr<std::string> MemberJson(const DaemonSnapshot& s, std::string_view name,
                                       const std::vector<CaseSummary>& cases) {
  for (const MemberInfo& member : s.view->members) {
    if (member.name != name) continue;
    json::object data = MemberObject(s, member);
    data["cases"] = CasesJson(s, cases);
    return Serialize(Envelope("sotto.member/1", ObserverOf(s), std::move(data)));
  }
  return CodedError(
      absl::StatusCode::kNotFound, "MEMBER_UNKNOWN",
      absl::StrCat("no member of this cluster is known here as \"", std::string(name), "\""));
}

std::string EventsJson(const Observer& observer, const EventRing::Page& page) {
  json::array events;
  for (const RingEvent& event : page.events) events.push_back(EventObject(event));
  json::object out = Envelope("sotto.events/1", observer, std::move(events), !page.gap);
  out["next"] = page.next;
  return Serialize(out);
}

std::string EventJson(const RingEvent& event) { return Serialize(EventObject(event)); }

std::string JoinJson(const Observer& observer, int answered) {
  return Serialize(Envelope("sotto.join/1", observer, json::object{{"answered", answered}}));
}

std::string LeaveJson(const Observer& observer, bool heard) {
  return Serialize(Envelope("sotto.leave/1", observer, json::object{{"heard", heard}}));
}

std::string ForgetJson(const Observer& observer, std::string_view name) {
  return Serialize(Envelope("sotto.forget/1", observer, json::object{{"name", Text(name)}}));
}

std::string TagsJson(const Observer& observer, const std::vector<Tag>& tags) {
  return Serialize(Envelope("sotto.tags/1", observer, TagsObject(tags)));
}

std::string CertsJson(const DaemonSnapshot& s) {
  json::array certs;
  for (const CertificateSummary& c : s.certificates) {
    certs.push_back(json::object{{"use", Text(c.use)},
                                 {"subject", Text(c.subject)},
                                 {"issuer", Text(c.issuer)},
                                 {"serial", Text(c.serial)},
                                 {"key", Text(c.key)},
                                 {"not_before", Text(UtcSeconds(c.not_before_unix_s))},
                                 {"not_after", Text(UtcSeconds(c.not_after_unix_s))},
                                 {"valid_s", c.not_after_unix_s - s.unix_ms / 1000},
                                 {"sha256", Text(Hex(c.sha256.bytes))}});
  }
  return Serialize(Envelope("sotto.certs/1", ObserverOf(s), std::move(certs)));
}

std::string ReloadJson(const Observer& observer, const ReloadSummary& summary) {
  return Serialize(Envelope("sotto.reload/1", observer,
                            json::object{{"applied", Texts(summary.applied)},
                                         {"unchanged", Texts(summary.unchanged)},
                                         {"needs_restart", Texts(summary.needs_restart)}}));
}

std::string ProblemJson(int http_status, const absl::Status& status) {
  std::string code = ErrorCode(status);
  if (code.empty()) code = "INTERNAL";
  const CodeInfo* info = FindCode(code);
  json::object out;
  out["status"] = http_status;
  out["code"] = Text(code);
  out["title"] = info != nullptr ? Text(info->what) : Text(code);
  out["detail"] = Text(std::string_view(status.message().data(), status.message().size()));
  out["fix"] = info != nullptr ? json::value(Text(info->fix)) : json::value(nullptr);
  return Serialize(out);
}

}  // namespace sotto
