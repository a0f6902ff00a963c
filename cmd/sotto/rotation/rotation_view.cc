#include "cmd/sotto/rotation/rotation_view.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <cmath>
#include <map>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/progress.h"
#include "cmd/sotto/rotation/rotation_text.h"
#include "gossip/base/coded_error.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;
using Kind = NodeProgress::Kind;

constexpr size_t kBarCells = 20;
constexpr size_t kHeadColumns = 15;  // " 2/4 spread    "
constexpr size_t kDoneColumn = 68;
// The block must not be higher than the terminal, or it could not be drawn over.
constexpr size_t kOkLinesMax = 4;
constexpr size_t kOtherLinesMax = 10;
const char* const kIndent = "       ";

std::string Padded(std::string text, size_t columns) {
  if (text.size() < columns) text.resize(columns, ' ');
  return text;
}

std::string HeadOf(Step step) {
  return Padded(" " + NumberText(step) + " " + std::string(NameOf(step)), kHeadColumns);
}

std::string BarOf(size_t part, size_t whole) {
  const size_t full = whole == 0 ? 0 : part * kBarCells / whole;
  return "[" + std::string(full, '#') + std::string(kBarCells - full, '.') + "] ";
}

// The end of a step: " 2/4 spread    5 of 5 living members hold it, 1 absent      done 11s".
std::string DoneLine(Step step, double seconds, const RotationRecord& record) {
  std::string line = HeadOf(step) + StepText(step, record);
  if (step == Step::kRetire && !record.removed) return line;
  line = Padded(line + "  ", kDoneColumn) + "done " + HumanDuration(seconds);
  if (step == Step::kActivate) line += "   " + DropsText(record);
  return line;
}

class TerminalView final : public RotationView {
 public:
  explicit TerminalView(Context& context) : context_(context) {}

  void Begin(const RotationRecord& record) override { Print(BeginText(record)); }

  void Look(const RotationRecord& record) override {
    Erase();
    std::vector<std::string> lines = {BarLine(record)};
    AppendOk(record, &lines);
    AppendOthers(record, &lines);
    for (std::string& line : lines) {
      const bool waits = line.find("  waiting ") != std::string::npos;
      line = Escape(line).substr(0, Columns());
      if (waits && context_.color_err()) line = "\x1b[33m" + line + "\x1b[0m";
      context_.err() << line << '\n';
    }
    lines_ = lines.size();
    context_.err().flush();
  }

  void StepDone(Step step, double seconds, const RotationRecord& record) override {
    Erase();
    Print(DoneLine(step, seconds, record));
  }

  // What stays of a block is its bar: the complaint that follows has the members.
  void End(const RotationRecord& record) override {
    if (lines_ == 0) return;
    Erase();
    Print(BarLine(record));
  }

 private:
  size_t Columns() const {
    return static_cast<size_t>(std::max(context_.streams().columns - 1, 20));
  }

  void Print(const std::string& line) {
    context_.err() << Escape(line) << '\n';
    context_.err().flush();
  }

  void Erase() {
    if (lines_ > 0) context_.err() << "\x1b[" << lines_ << "A\r\x1b[J";
    lines_ = 0;
  }

  static std::string BarLine(const RotationRecord& record) {
    const Picture& picture = record.picture;
    return HeadOf(picture.step) + BarOf(picture.reached, picture.nodes.size()) +
           ReachedText(picture);
  }

  void AppendOk(const RotationRecord& record, std::vector<std::string>* lines) const {
    std::string line = kIndent;
    size_t count = 0;
    const auto nodes = record.picture.Of(Kind::kOk);
    for (size_t i = 0; i < nodes.size(); ++i) {
      const std::string text = nodes[i]->member.name + "  " + NodeText(*nodes[i], record);
      const bool starts = line == kIndent;
      if (!starts && line.size() + 3 + text.size() > Columns()) {
        if (++count == kOkLinesMax) {
          line = kIndent + std::string("and ") + std::to_string(nodes.size() - i) + " more";
          break;
        }
        lines->push_back(std::exchange(line, kIndent));
      }
      line += (line == kIndent ? "" : "   ") + text;
    }
    if (line != kIndent) lines->push_back(line);
  }

  static void AppendOthers(const RotationRecord& record, std::vector<std::string>* lines) {
    std::vector<std::string> others;
    for (const Kind kind : {Kind::kWaiting, Kind::kSkipped, Kind::kAbsent}) {
      for (const NodeProgress* node : record.picture.Of(kind)) {
        others.push_back(kIndent + node->member.name + "  " + NodeText(*node, record));
      }
    }
    if (others.size() > kOtherLinesMax) {
      const size_t rest = others.size() - kOtherLinesMax + 1;
      others.resize(kOtherLinesMax - 1);
      others.push_back(kIndent + std::string("and ") + std::to_string(rest) + " more");
    }
    lines->insert(lines->end(), others.begin(), others.end());
  }

  Context& context_;
  size_t lines_ = 0;  // of the block that stands
};

const char* KindWord(Kind kind) {
  switch (kind) {
    case Kind::kOk:
      return "ok";
    case Kind::kWaiting:
      return "waiting";
    case Kind::kSkipped:
      return "skipped";
    case Kind::kAbsent:
      return "absent";
  }
  return "";
}

// What was said of each member last, so that only changes are told.
class Changes {
 public:
  // The members of whom something new is to be said.
  std::vector<const NodeProgress*> Of(const RotationRecord& record) {
    if (record.picture.step != step_) said_.clear();
    step_ = record.picture.step;
    std::vector<const NodeProgress*> news;
    for (const NodeProgress& node : record.picture.nodes) {
      // Ages and durations change all the time.
      const std::string now =
          std::string(KindWord(node.kind)) + " " + node.member.state + " " + node.member.trouble;
      std::string& before = said_[node.member.name];
      if (std::exchange(before, now) != now) news.push_back(&node);
    }
    return news;
  }

 private:
  Step step_ = Step::kPrepare;
  std::map<std::string, std::string> said_;
};

class LinesView final : public RotationView {
 public:
  explicit LinesView(Context& context) : context_(context) {}

  void Begin(const RotationRecord& record) override { Print(BeginText(record)); }
  void Look(const RotationRecord& record) override {
    for (const NodeProgress* node : changes_.Of(record)) {
      Print(NumberText(record.picture.step) + " " + std::string(NameOf(record.picture.step)) +
            ": " + node->member.name + "  " + NodeText(*node, record));
    }
  }
  void StepDone(Step step, double seconds, const RotationRecord& record) override {
    std::string line = NumberText(step) + " " + std::string(NameOf(step)) + ": " +
                       StepText(step, record) + "; done " + HumanDuration(seconds);
    if (step == Step::kActivate) line += ", " + DropsText(record);
    Print(line);
  }
  void End(const RotationRecord&) override {}

 private:
  void Print(const std::string& line) {
    context_.err() << Escape(line) << '\n';
    context_.err().flush();
  }

  Context& context_;
  Changes changes_;
};

json::value TextOrNull(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

double Millis(double seconds) { return std::round(seconds * 1000) / 1000; }

class JsonView final : public RotationView {
 public:
  explicit JsonView(Context& context) : context_(context) {}

  void Begin(const RotationRecord& record) override {
    Print({{"step", "begin"},
           {"cluster", record.cluster},
           {"from", record.from.generation},
           {"to", record.to.generation},
           {"id", record.to.id},
           {"resumed", record.resumed}});
  }

  void Look(const RotationRecord& record) override {
    for (const NodeProgress* node : changes_.Of(record)) {
      json::object line{{"step", NameOf(record.picture.step)},
                        {"node", node->member.name},
                        {"result", KindWord(node->kind)},
                        {"seconds", Millis(node->seconds)}};
      if (node->kind != Kind::kOk) {
        line["state"] = TextOrNull(node->member.state);
        line["trouble"] = TextOrNull(node->member.trouble);
      }
      Print(line);
    }
  }

  void StepDone(Step step, double seconds, const RotationRecord& record) override {
    json::object line{{"step", NameOf(step)}, {"result", "ok"}, {"seconds", Millis(seconds)}};
    if (step == Step::kSpread || step == Step::kActivate) {
      line["reached"] = record.picture.reached;
      line["known"] = record.picture.nodes.size();
    }
    if (step == Step::kActivate) {
      line["key_drops"] = record.key_drops;
      line["key_drops_members"] = record.key_drops_members;
    }
    if (step == Step::kRetire) {
      line["retire_at"] = TextOrNull(record.retire_at);
      line["removed"] = record.removed;
    }
    Print(line);
  }

  void End(const RotationRecord& record) override {
    json::object line{{"step", "end"},
                      {"result", EndWord(record.end)},
                      {"at", NameOf(record.step)},
                      {"seconds", Millis(record.seconds)}};
    if (record.end != RotationEnd::kDone) {
      line["code"] = RotationComplaint(record, RotationOrder()).code;
    }
    Print(line);
  }

 private:
  static const char* EndWord(RotationEnd end) {
    switch (end) {
      case RotationEnd::kDone:
        return "ok";
      case RotationEnd::kStalled:
        return "stalled";
      case RotationEnd::kInterrupted:
        return "interrupted";
      case RotationEnd::kFailed:
        return "failed";
    }
    return "";
  }

  void Print(const json::object& line) {
    context_.err() << JsonLine(line) << '\n';
    context_.err().flush();
  }

  Context& context_;
  Changes changes_;
};

class NoView final : public RotationView {
 public:
  void Begin(const RotationRecord&) override {}
  void Look(const RotationRecord&) override {}
  void StepDone(Step, double, const RotationRecord&) override {}
  void End(const RotationRecord&) override {}
};

}  // namespace

std::unique_ptr<RotationView> MakeRotationView(Context& context) {
  switch (ProgressModeOf(context)) {
    case ProgressMode::kRedraw:
      return std::make_unique<TerminalView>(context);
    case ProgressMode::kPlain:
      return std::make_unique<LinesView>(context);
    case ProgressMode::kJson:
      return std::make_unique<JsonView>(context);
    case ProgressMode::kNone:
      break;
  }
  return std::make_unique<NoView>();
}

}  // namespace sotto::cli
