#include "cmd/sotto/help.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>
#include <vector>

namespace sotto::cli {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

void AppendRows(const std::string& title, const Rows& rows, std::string* out) {
  if (rows.empty()) return;
  size_t width = 0;
  for (const auto& [left, right] : rows) width = std::max(width, left.size());
  width = std::min<size_t>(width, 46);
  if (!title.empty()) *out += "\n" + title + "\n";
  for (const auto& [left, right] : rows) {
    std::string line = "  " + left;
    if (left.size() > width) {
      *out += line + "\n";
      line = "  ";
    }
    line.resize(width + 4, ' ');
    *out += line + right + "\n";
  }
}

std::string LeftOf(const CLI::Option& option) {
  std::string left;
  for (const std::string& name : option.get_snames()) left += "-" + name + ", ";
  if (left.empty()) left = "    ";
  for (const std::string& name : option.get_lnames()) left += "--" + name;
  if (option.get_items_expected_max() > 0) left += " " + option.get_type_name();
  return left;
}

std::string UsageOf(const CLI::App& app) {
  std::string usage = "usage: " + PathOf(app);
  const auto verbs = app.get_subcommands([](const CLI::App*) { return true; });
  if (!verbs.empty()) usage += " VERB";
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) continue;
    std::string word = option->get_name(true);
    if (option->get_items_expected_max() > 1) word += "...";
    usage += option->get_required() ? " " + word : " [" + word + "]";
  }
  return usage + " [flags]\n";
}

}  // namespace

std::string PathOf(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  return parent == nullptr ? "sotto" : PathOf(*parent) + " " + app.get_name();
}

std::string HelpOf(const CLI::App& app, const Context& context) {
  std::string out;
  Rows rows;
  for (const auto& example : context.ExamplesOf(&app)) {
    rows.emplace_back(example.command, example.meaning);
  }
  out += app.get_description() + "\n";
  AppendRows(rows.empty() ? "" : "examples", rows, &out);
  rows.clear();
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    rows.emplace_back(verb->get_name(), verb->get_description());
  }
  AppendRows("verbs", rows, &out);
  Rows words, flags;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      words.emplace_back(option->get_name(true), option->get_description());
    } else {
      flags.emplace_back(LeftOf(*option), option->get_description());
    }
  }
  AppendRows("words", words, &out);
  AppendRows(app.get_parent() == nullptr ? "flags of every verb (each also SOTTO_<FLAG>)" : "flags",
             flags, &out);
  out += "\n" + UsageOf(app);
  if (app.get_parent() != nullptr) out += "`sotto --help` shows the flags of every verb.\n";
  return out;
}

}  // namespace sotto::cli
