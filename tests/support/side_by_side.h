// Cases that mostly wait run side by side: each in a process of its own, all started at once.
//
// A case hands its whole story to RunSideBySide. In the process that the tool started, the first
// such call starts one process for every case that is to run, and each call waits for the one of
// its own case and reports it. In the process of a case, the story runs.
#ifndef SOTTO_TESTS_SUPPORT_SIDE_BY_SIDE_H_
#define SOTTO_TESTS_SUPPORT_SIDE_BY_SIDE_H_

#include <chrono>
#include <functional>

namespace sotto {

// Fails the running case if its process fails, or has not ended `limit` after it was started; what
// it printed is shown then. A case that would skip itself does so before it calls this.
void RunSideBySide(std::chrono::milliseconds limit, const std::function<void()>& story);

// Whether this is the process of one case, and its fixture has to set up what the story needs.
bool IsProcessOfCase();

}  // namespace sotto

#endif  // SOTTO_TESTS_SUPPORT_SIDE_BY_SIDE_H_
