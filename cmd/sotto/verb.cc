#include "cmd/sotto/verb.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "cmd/sotto/output/text.h"

namespace sotto::cli {
namespace {

// Words that mean yes and no for a switch in the environment.
constexpr const char* kLongPrefix = "--";

void SetEnvironment(CLI::Option* option) {
  if (option->get_lnames().empty()) return;
  option->envname(EnvironmentNameOf(option->get_lnames().front()));
}

CLI::Validator Check(std::function<std::string(std::string&)> check) {
  return CLI::Validator(std::move(check), "");
}

}  // namespace

std::string EnvironmentNameOf(const std::string& long_flag) {
  std::string name = "SOTTO_";
  const size_t start = long_flag.rfind(kLongPrefix, 0) == 0 ? 2 : 0;
  for (size_t i = start; i < long_flag.size(); ++i) {
    const char c = long_flag[i];
    name += c == '-' ? '_' : (c >= 'a' && c <= 'z') ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return name;
}

Verb Verb::Sub(const std::string& name, const std::string& summary) {
  CLI::App* app = app_->add_subcommand(name, summary);
  app->fallthrough();             // global flags may follow the verb
  app->require_subcommand(0, 1);  // and a member called "status" is no second verb
  app->set_help_flag();           // help is ours
  return Verb(app, context_);
}

Verb& Verb::Switch(const std::string& names, bool* target, const std::string& help) {
  SetEnvironment(app_->add_flag(names, *target, help));
  return *this;
}

Verb& Verb::Text(const std::string& names, std::string* target, const std::string& value,
                 const std::string& help) {
  CLI::Option* option = app_->add_option(names, *target, help)->type_name(value);
  // An empty FILE is a variable of a script that was not set, and never a wish.
  if (value == "FILE") {
    option->check([](const std::string& given) {
      return given.empty() ? std::string("no file is named") : std::string();
    });
  }
  SetEnvironment(option);
  return *this;
}

Verb& Verb::List(const std::string& names, std::vector<std::string>* target,
                 const std::string& value, const std::string& help) {
  CLI::Option* option = app_->add_option(names, *target, help)->type_name(value);
  option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  SetEnvironment(option);
  return *this;
}

Verb& Verb::ListOfWords(const std::string& names, std::vector<std::string>* target,
                        const std::string& value, const std::string& help) {
  CLI::Option* option = app_->add_option(names, *target, help)->type_name(value);
  option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  return *this;
}

Verb& Verb::Number(const std::string& names, int64_t* target, int64_t min, int64_t max,
                   const std::string& value, const std::string& help) {
  CLI::Option* option = app_->add_option(names, *target, help)->type_name(value);
  option->check(Check([min, max](std::string& text) -> std::string {
    int64_t number = 0;
    if (CLI::detail::lexical_cast(text, number) && number >= min && number <= max) return "";
    return "want a whole number from " + std::to_string(min) + " to " + std::to_string(max) +
           ", got \"" + Escape(text) + "\"";
  }));
  SetEnvironment(option);
  return *this;
}

Verb& Verb::Seconds(const std::string& names, double* target, const std::string& help) {
  CLI::Option* option = app_->add_option_function<std::string>(
      names, [target](const std::string& text) { *target = ParseDuration(text).value_or(*target); },
      help);
  option->type_name("TIME")->check(Check([](std::string& text) -> std::string {
    const auto seconds = ParseDuration(text);
    if (seconds.has_value() && *seconds > 0 && *seconds <= 7 * 86'400) return "";
    return "want a time such as 500ms, 5s or 2m (at most 7d), got \"" + Escape(text) + "\"";
  }));
  SetEnvironment(option);
  return *this;
}

Verb& Verb::Choice(const std::string& names, std::string* target,
                   const std::vector<std::string>& choices, const std::string& help) {
  CLI::Option* option = app_->add_option(names, *target, help);
  std::string value;
  for (const std::string& choice : choices) value += (value.empty() ? "" : "|") + choice;
  option->type_name(value)->check(Check([choices](std::string& text) -> std::string {
    for (const std::string& choice : choices) {
      if (choice == text) return "";
    }
    const std::string near = Nearest(text, choices);
    return "want " + JoinWords(choices, " or ") + ", got \"" + Escape(text) + "\"" +
           (near.empty() ? "" : "; did you mean \"" + near + "\"?");
  }));
  SetEnvironment(option);
  return *this;
}

Verb& Verb::Words(const std::string& name, std::vector<std::string>* target, int min, int max,
                  const std::string& help) {
  CLI::Option* option = app_->add_option(name, *target, help);
  option->expected(min == 0 ? 0 : min, max == 0 ? CLI::detail::expected_max_vector_size : max);
  option->required(min > 0);
  return *this;
}

Verb& Verb::Word(const std::string& name, std::string* target, bool required,
                 const std::string& help) {
  app_->add_option(name, *target, help)->required(required);
  return *this;
}

Verb& Verb::Example(const std::string& command, const std::string& meaning) {
  context_->AddExample(app_, command, meaning);
  return *this;
}

Verb& Verb::Run(std::function<int()> run) {
  context_->OnRun(app_, std::move(run));
  return *this;
}

}  // namespace sotto::cli
