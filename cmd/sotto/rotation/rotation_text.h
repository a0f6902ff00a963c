// A rotation in words: who waits for what, how a step went, and what to do where it did not go on.
#ifndef SOTTO_CMD_SOTTO_ROTATION_ROTATION_TEXT_H_
#define SOTTO_CMD_SOTTO_ROTATION_ROTATION_TEXT_H_

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "cmd/sotto/context.h"
#include "cmd/sotto/rotation/rotation.h"

namespace sotto::cli {

// "2/4".
std::string NumberText(Step step);
// "spread".
std::string_view NameOf(Step step);
// "generation 12 (fp 9f3c-21aa)".
std::string KeyText(const KeyName& key);
// "2026-11-22T14:03:00.000Z" as "2026-11-22 14:03"; what is no time, as it is.
std::string MinuteText(const std::string& utc);

// What is known of a member that is not through: "alive, but stopped by KEK_MISSING".
std::string StandText(const KeyHolder& member, Step step);
// "ok 0.1s", "waiting 9s   alive, holding generation 12".
std::string NodeText(const NodeProgress& node, const RotationRecord& record);
// "4 of 6 known members hold it".
std::string ReachedText(const Picture& picture);

// "Rotating edge-prod: generation 12 (fp 9f3c-21aa) -> 13 (fp 41d0-77be). …"
std::string BeginText(const RotationRecord& record);
// "5 of 5 living members hold it, 1 absent".
std::string StepText(Step step, const RotationRecord& record);
// "0 frames dropped for key reasons (5 of 6 tell)".
std::string DropsText(const RotationRecord& record);

// "Done in 12s. gw-6 is absent: …"
std::string DoneText(const RotationRecord& record);
// The data of sotto.key_rotation/1.
boost::json::object RotationJson(const RotationRecord& record);

// Why it ended before it was done; not for kDone.
Complaint RotationComplaint(const RotationRecord& record, const RotationOrder& order);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_ROTATION_ROTATION_TEXT_H_
