// Lines for the user that ride on a status: what was tried, why it failed, what to do.
#ifndef SOTTO_CMD_SOTTO_COMPLAINT_H_
#define SOTTO_CMD_SOTTO_COMPLAINT_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace sotto::cli {

// `label` is one of tried, what, why, state, do.
absl::Status WithLine(absl::Status status, std::string_view label, std::string_view text);
std::vector<std::pair<std::string, std::string>> LinesOf(const absl::Status& status);

// Whether a safety rule says no, whatever kind of status the code comes with: exit 5.
bool IsRefusal(std::string_view code);
// Whether a little time may heal it: the daemon starts or restarts, a row was just written.
bool MayPass(const absl::Status& status);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_COMPLAINT_H_
