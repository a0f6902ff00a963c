#include "cmd/sotto/commands/event_text.h"

#include <boost/json/array.hpp>

#include "cmd/sotto/commands/member_list.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/text.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

constexpr EventWord kWords[] = {
    {"joined", "a name not known before is alive"},
    {"returned", "a name that was dead, left or forgotten is alive again"},
    {"suspected", "somebody (by) cannot reach it; it dies soon unless it answers"},
    {"refuted", "it was suspected and has answered"},
    {"died", "this node has concluded that it is dead; by names the accusers"},
    {"left", "it said goodbye"},
    {"forgotten", "an operator asked that it be forgotten; by names the node that was asked"},
    {"updated", "its tags, addresses or process changed"},
    {"reaped", "it was gone for so long that it is no longer shown"},
    {"announced", "this node's own word went out"},
    {"accused", "somebody (by) suspects this node, which has answered"},
    {"isolated",
     "nobody has been heard for two probe rounds, and this node accuses nobody meanwhile; or "
     "others "
     "are heard and none answers it"},
    {"minority", "this node sees less than half of the members it knew"},
    {"reconnected", "the end of isolated, minority or sends_refused"},
    {"paused", "this process was stopped or starved; what was overdue meanwhile is void"},
    {"name_conflict", "another process runs under this node's name: this one is silent"},
    {"sends_refused",
     "this node's machine refuses its datagrams; probes that it swallows accuse nobody"},
    {"clock_suspect",
     "most certificates expired at once: the clock is suspected, nobody is buried"},
    {"key_trouble", "frames of members fail for a key reason; this node accuses nobody meanwhile"},
    {"user_event", "a member has said something to all: its name, and the payload"},
    {"query", "a member has asked the programs of this node something"},
};

}  // namespace

std::span<const EventWord> EventWords() { return kWords; }

std::string ShownPayload(const json::value& said) {
  const json::value& payload = Member(said, "payload");
  if (!payload.is_string()) {
    const std::string coded = TextOf(Member(said, "payload_base64"));
    return coded.empty() ? "" : " (base64) " + coded;
  }
  std::string text = TextOf(payload);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? "" : " \"" + text + "\"";
}

std::string EventLine(const json::value& event) {
  const std::string time = TextOf(Member(event, "t"));
  std::string line = time.size() > 23 ? time.substr(11, 12) : time;
  line += "  " + TextOf(Member(event, "member")) + " " + TextOf(Member(event, "event"));
  std::string by;
  for (const json::value& name : ArrayOf(Member(event, "by"))) {
    by += (by.empty() ? " by " : ", ") + TextOf(name);
  }
  line += by;
  const std::string name = TextOf(Member(event, "name"));
  if (!name.empty()) line += " " + name + ShownPayload(event);
  if (TrueOf(Member(event, "replayed"))) line += " (from before)";
  const std::string detail = TextOf(Member(event, "detail"));
  if (!detail.empty()) line += ": " + detail;
  return Escape(line);
}

}  // namespace sotto::cli
