// From the daemon's state to findings an operator acts on, and to one word.
#ifndef SOTTO_CMD_SOTTOD_HEALTH_H_
#define SOTTO_CMD_SOTTOD_HEALTH_H_

#include <string_view>
#include <vector>

#include "cmd/sottod/admin_backend.h"

namespace sotto {

// Sorted: the worst first, then by code. A finding that outsiders can cause by knocking (a refused
// certificate) is never more than a note, so that nobody can paint a healthy node red.
std::vector<HealthNote> FindHealthNotes(const DaemonSnapshot& snapshot);

// "healthy", "warning" or "critical": the worst of the notes.
std::string_view OverallHealth(const std::vector<HealthNote>& notes);

// "note", "yellow", "red".
std::string_view ToString(NoteLevel level);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_HEALTH_H_
