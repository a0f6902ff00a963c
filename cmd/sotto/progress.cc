#include "cmd/sotto/progress.h"

#include <ostream>

#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/text.h"

namespace sotto::cli {

Progress::Progress(Context& context) : context_(context), mode_(Mode::kPlain) {
  const std::string& wanted = context.flags().progress;
  if (wanted == "json") {
    mode_ = Mode::kJson;
  } else if (wanted == "none" || context.flags().quiet) {
    mode_ = Mode::kNone;
  } else if (wanted == "auto" && context.streams().err_is_terminal) {
    mode_ = Mode::kRedraw;
  }
}

void Progress::Update(const std::string& text, const boost::json::object& state) {
  if (mode_ == Mode::kNone || text == last_) return;
  last_ = text;
  switch (mode_) {
    case Mode::kNone:
      break;
    case Mode::kRedraw:
      // Cut, for a line that wraps cannot be drawn over.
      context_.err() << "\r\x1b[K"
                     << Escape(text).substr(0, static_cast<size_t>(context_.streams().columns - 1));
      line_open_ = true;
      break;
    case Mode::kPlain:
      context_.err() << Escape(text) << '\n';
      break;
    case Mode::kJson:
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
