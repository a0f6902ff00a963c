#include "cmd/sotto/progress.h"

#include <ostream>

#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/text.h"

namespace sotto::cli {

ProgressMode ProgressModeOf(const Context& context) {
  const std::string& wanted = context.flags().progress;
  if (wanted == "json") return ProgressMode::kJson;
  if (wanted == "none" || context.flags().quiet) return ProgressMode::kNone;
  const bool redraws = wanted == "auto" && context.streams().err_is_terminal;
  return redraws ? ProgressMode::kRedraw : ProgressMode::kPlain;
}

Progress::Progress(Context& context) : context_(context), mode_(ProgressModeOf(context)) {}

void Progress::Update(const std::string& text, const boost::json::object& state) {
  if (mode_ == ProgressMode::kNone || text == last_) return;
  last_ = text;
  switch (mode_) {
    case ProgressMode::kNone:
      break;
    case ProgressMode::kRedraw:
      // Cut, for a line that wraps cannot be drawn over.
      context_.err() << "\r\x1b[K"
                     << Escape(text).substr(0, static_cast<size_t>(context_.streams().columns - 1));
      line_open_ = true;
      break;
    case ProgressMode::kPlain:
      context_.err() << Escape(text) << '\n';
      break;
    case ProgressMode::kJson:
      context_.err() << JsonLine(state) << '\n';
      break;
  }
  context_.err().flush();
}

void Progress::End() {
  if (!line_open_) return;
  line_open_ = false;
  context_.err() << "\r\x1b[K";
  context_.err().flush();
}

}  // namespace sotto::cli
