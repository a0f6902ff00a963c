#include "cmd/sotto/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <optional>
#include <ostream>

#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/help.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"

namespace sotto::cli {
namespace {

bool Any(const CLI::App*) { return true; }

void AddGlobalFlags(Verb& root, GlobalFlags* flags) {
  root.Text("--target", &flags->target, "unix:PATH", "the daemon's socket")
      .Text("--config", &flags->config, "FILE", "default /etc/sotto/sottod.toml")
      .Seconds("--timeout", &flags->timeout_s, "how long to wait for an answer (5s)")
      .Choice("-o,--output", &flags->format, {"table", "wide", "json", "jsonl", "tsv"},
              "the form of the answer")
      .Switch("--no-headers", &flags->no_headers, "tables without their first line")
      .Choice("--color", &flags->color, {"auto", "always", "never"}, "auto heeds NO_COLOR")
      .Choice("--progress", &flags->progress, {"auto", "plain", "json", "none"},
              "how a wait shows itself")
      .Switch("--yes", &flags->yes, "ask nothing")
      .Switch("-q,--quiet", &flags->quiet, "no talk, only data and errors");
}

void AddVerbs(Verb& root, Context& context) {
  AddStatus(root);
  AddMembers(root);
  AddTop(root);
  AddWatch(root);
  AddEvents(root);
  AddReach(root);
  AddPing(root);
  AddRtt(root);
  AddEvent(root);
  AddQuery(root);
  AddJoin(root);
  AddLeave(root);
  AddForget(root);
  AddTags(root);
  AddKeys(root);
  AddKek(root);
  AddStore(root);
  AddCerts(root);
  AddConfig(root);
  AddWait(root);
  AddExplain(root);
  AddDemo(*root.app(), context);
  AddCompletion(root);
  AddVersion(root);
}

// A look at the words before CLI11 sees them. It finds the verb, and what is wrong with the words,
// so that an error names the right word and the nearest one that exists; CLI11 then only reads
// values.
class Scan {
 public:
  explicit Scan(const CLI::App* root) : verb_(root) {}

  // Nothing if all words have a meaning.
  std::optional<Complaint> Run(const std::vector<std::string>& args) {
    bool only_words = false;
    for (size_t i = 0; i < args.size(); ++i) {
      const std::string& arg = args[i];
      if (!only_words && arg == "--") {
        only_words = true;
      } else if (!only_words && arg.size() > 1 && arg[0] == '-') {
        if (auto complaint = Flag(args, &i)) return complaint;
      } else if (auto complaint = Word(arg)) {
        return complaint;
      }
    }
    return std::nullopt;
  }

  const CLI::App* verb() const { return verb_; }
  bool wants_help() const { return wants_help_; }
  bool wants_version() const { return wants_version_; }

 private:
  // The flag in this verb or one above it.
  const CLI::Option* Find(bool is_long, const std::string& name) const {
    for (const CLI::App* app = verb_; app != nullptr; app = app->get_parent()) {
      for (const CLI::Option* option : app->get_options()) {
        const auto& names = is_long ? option->get_lnames() : option->get_snames();
        if (std::find(names.begin(), names.end(), name) != names.end()) return option;
      }
    }
    return nullptr;
  }

  std::optional<Complaint> Flag(const std::vector<std::string>& args, size_t* i) {
    const std::string& arg = args[*i];
    if (arg == "-h" || arg == "--help") {
      wants_help_ = true;
      return std::nullopt;
    }
    if (arg == "--version" && verb_->get_parent() == nullptr) {
      wants_version_ = true;
      return std::nullopt;
    }
    const CLI::Option* option = nullptr;
    bool has_value = false;
    if (arg[1] == '-') {
      const size_t equals = arg.find('=');
      option = Find(true, arg.substr(2, equals == std::string::npos ? equals : equals - 2));
      has_value = equals != std::string::npos;
      if (option == nullptr) return UnknownFlag(arg.substr(0, equals));
    } else {
      // -fq is -f -q; -ojson is -o json.
      for (size_t at = 1; at < arg.size() && !has_value; ++at) {
        option = Find(false, arg.substr(at, 1));
        if (option == nullptr) return UnknownFlag(at == 1 ? arg : "-" + arg.substr(at, 1));
        has_value = option->get_items_expected_max() > 0 && at + 1 < arg.size();
      }
    }
    if (option->get_items_expected_max() == 0 || has_value) return std::nullopt;
    if (*i + 1 >= args.size()) {
      return Usage(Escape(arg) + " needs a value: " + option->get_type_name());
    }
    ++*i;
    return std::nullopt;
  }

  std::optional<Complaint> Word(const std::string& word) {
    if (words_ == 0) {
      for (const CLI::App* sub : verb_->get_subcommands(Any)) {
        if (sub->get_name() != word) continue;
        verb_ = sub;
        return std::nullopt;
      }
    }
    size_t capacity = 0;
    for (const CLI::Option* option : verb_->get_options()) {
      if (option->get_positional()) {
        capacity += static_cast<size_t>(option->get_items_expected_max());
      }
    }
    if (++words_ <= capacity) return std::nullopt;
    return UnknownWord(word, capacity);
  }

  std::optional<Complaint> UnknownFlag(const std::string& flag) const {
    std::vector<std::string> known;
    for (const CLI::App* app = verb_; app != nullptr; app = app->get_parent()) {
      for (const CLI::Option* option : app->get_options()) {
        for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
      }
    }
    known.emplace_back("--help");
    std::string text = "\"" + PathOf(*verb_) + "\" has no flag \"" + Escape(flag) + "\"";
    const std::string near = Nearest(flag, known);
    if (!near.empty()) text += "; did you mean \"" + near + "\"?";
    return Usage(text);
  }

  std::optional<Complaint> UnknownWord(const std::string& word, size_t capacity) const {
    std::vector<std::string> known;
    for (const CLI::App* sub : verb_->get_subcommands(Any)) known.push_back(sub->get_name());
    if (known.empty()) {
      return Usage("\"" + PathOf(*verb_) + "\" takes " +
                   (capacity == 0 ? "no word" : "at most " + Plural(capacity, "word")) +
                   ", and \"" + Escape(word) + "\" is one too many");
    }
    std::string text = "\"" + PathOf(*verb_) + "\" has no verb \"" + Escape(word) + "\"";
    const std::string near = Nearest(word, known);
    text += near.empty() ? "; there are " + JoinWords(known) : "; did you mean \"" + near + "\"?";
    return Usage(text);
  }

  Complaint Usage(const std::string& text) const {
    Complaint complaint{kExitUsage, "USAGE", text, {}};
    complaint.Add("do", PathOf(*verb_) + " --help");
    return complaint;
  }

  const CLI::App* verb_;
  size_t words_ = 0;
  bool wants_help_ = false;
  bool wants_version_ = false;
};

// "sotto help keys import" is "sotto keys import --help".
std::vector<std::string> TurnHelpVerb(std::vector<std::string> args) {
  const auto first = std::find_if(args.begin(), args.end(), [](const std::string& arg) {
    return arg.empty() || arg[0] != '-';
  });
  if (first == args.end() || *first != "help") return args;
  args.erase(first);
  args.emplace_back("--help");
  return args;
}

// What CLI11 says about a value, without the words that only it understands.
Complaint UsageOf(const CLI::ParseError& error, const CLI::App& verb) {
  std::string text = error.what();
  const size_t line_end = text.find('\n');
  if (line_end != std::string::npos) text.resize(line_end);
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    const size_t end = text.find(" is required");
    if (end != std::string::npos) text = "\"" + PathOf(verb) + "\" needs " + text.substr(0, end);
  }
  Complaint complaint{kExitUsage, "USAGE", text, {}};
  complaint.Add("do", PathOf(verb) + " --help");
  return complaint;
}

int Dispatch(CLI::App& root, Context& context, const std::vector<std::string>& args) {
  Scan scan(&root);
  const auto complaint = scan.Run(args);
  if (scan.wants_help()) {
    context.out() << HelpOf(*scan.verb(), context);
    return kExitOk;
  }
  if (complaint.has_value()) return context.Fail(*complaint);
  const CLI::App* verb = scan.verb();
  std::vector<std::string> words = args;
  if (scan.wants_version() && verb == &root) {
    words = {"version"};
    verb = root.get_subcommand("version");
  }
  try {
    std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
    root.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    return context.Fail(UsageOf(error, *verb));
  }
  const std::function<int()>* run = context.FindRun(verb);
  if (run != nullptr) return (*run)();
  if (verb == &root) {
    context.out() << HelpOf(root, context);
    return kExitOk;
  }
  std::vector<std::string> known;
  for (const CLI::App* sub : verb->get_subcommands(Any)) known.push_back(sub->get_name());
  Complaint missing{kExitUsage,
                    "USAGE",
                    "\"" + PathOf(*verb) + "\" needs a verb: " + JoinWords(known, " or "),
                    {}};
  return context.Fail(missing.Add("do", PathOf(*verb) + " --help"));
}

}  // namespace

int RunCli(const std::vector<std::string>& args, const Streams& streams) {
  Context context(streams);
  CLI::App app("sotto: who is in the cluster, under which key, and what to do about it", "sotto");
  app.require_subcommand(0, 1);
  app.set_help_flag();
  Verb root(&app, &context);
  root.Example("sotto demo", "five encrypted nodes on this machine, one command")
      .Example("sotto status", "this node at a glance")
      .Example("sotto members -o json", "who is here, for programs")
      .Example("sotto wait --members 3 --views-agree", "for scripts: until all is well")
      .Example("sotto explain CERT_UNTRUSTED", "what a code means and what to do");
  AddGlobalFlags(root, &context.flags());
  AddVerbs(root, context);
  int exit = kExitFailed;
  try {
    exit = Dispatch(app, context, TurnHelpVerb(args));
  } catch (const std::exception& error) {
    exit = context.Fail(Complaint{kExitFailed, "INTERNAL", error.what(), {}});
  }
  context.out().flush();
  if (!context.out()) {
    return context.Fail(Complaint{
        kExitFailed, "OUTPUT_FAILED", "the answer could not be written: disk full, or closed", {}});
  }
  return exit;
}

}  // namespace sotto::cli
