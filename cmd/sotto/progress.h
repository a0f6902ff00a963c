// How a wait shows itself on err(): one line that redraws on a terminal, else one line for each
// change; JSON lines for programs.
#ifndef SOTTO_CMD_SOTTO_PROGRESS_H_
#define SOTTO_CMD_SOTTO_PROGRESS_H_

#include <boost/json/object.hpp>
#include <string>

#include "cmd/sotto/context.h"

namespace sotto::cli {

enum class ProgressMode { kNone, kRedraw, kPlain, kJson };
// What --progress, --quiet and the terminal behind err() come to.
ProgressMode ProgressModeOf(const Context& context);

class Progress {
 public:
  explicit Progress(Context& context);
  ~Progress() { End(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Says `text`, or `state` with --progress json, unless that is what was said last.
  void Update(const std::string& text, const boost::json::object& state);
  // Leaves the line that redraws.
  void End();

 private:
  Context& context_;
  ProgressMode mode_;
  std::string last_;
  bool line_open_ = false;
};

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_PROGRESS_H_
