#include "cmd/sotto/completion.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <vector>

#include "cmd/sotto/help.h"

namespace sotto::cli {
namespace {

constexpr char kMembers[] =
    "sotto members --all -o tsv --columns node --no-headers --timeout 1s 2>/dev/null";
constexpr char kGenerations[] =
    "sotto keys ls -o tsv --columns gen --no-headers --timeout 1s 2>/dev/null";
constexpr char kCodes[] = "sotto explain -o tsv --columns code --no-headers 2>/dev/null";

struct FlagInfo {
  std::vector<std::string> names;  // "-o", "--output"
  std::string help;
  bool has_value = false;
  std::vector<std::string> choices;
  bool is_file = false;
  bool is_member = false;
};

struct VerbInfo {
  std::string path;  // "sotto keys import"
  std::string help;
  std::vector<std::pair<std::string, std::string>> verbs;  // name, help
  std::vector<FlagInfo> flags;                             // its own
  bool members = false, codes = false, files = false, generations = false;
};

bool IsFile(const std::string& type) {
  return type == "FILE" || type == "DIR" || type == "PATH" || type == "unix:PATH";
}

FlagInfo DescribeFlag(const CLI::Option& option) {
  FlagInfo flag;
  for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
  flag.help = option.get_description();
  flag.has_value = option.get_items_expected_max() > 0;
  const std::string type = option.get_type_name();
  flag.is_file = flag.has_value && IsFile(type);
  flag.is_member = flag.has_value && type == "MEMBER";
  // "table|wide|json": the only values; capitals stand for anything of a kind.
  const bool is_kind =
      std::any_of(type.begin(), type.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  if (flag.has_value && !is_kind && type.find('|') != std::string::npos) {
    for (size_t at = 0; at <= type.size();) {
      const size_t end = std::min(type.find('|', at), type.size());
      flag.choices.push_back(type.substr(at, end - at));
      at = end + 1;
    }
  }
  return flag;
}

std::vector<VerbInfo> Walk(const CLI::App& root) {
  std::vector<VerbInfo> all;
  const std::function<void(const CLI::App&)> visit = [&](const CLI::App& app) {
    VerbInfo verb{.path = PathOf(app), .help = app.get_description()};
    for (const CLI::Option* option : app.get_options()) {
      if (!option->get_positional()) {
        verb.flags.push_back(DescribeFlag(*option));
        continue;
      }
      const std::string name = option->get_name(true);
      verb.members = verb.members || name == "MEMBER";
      verb.codes = verb.codes || name == "CODE";
      verb.generations = verb.generations || name == "GEN";
      verb.files = verb.files || IsFile(name);
    }
    verb.flags.push_back({.names = {"--help"}, .help = "what this does"});
    const auto subs = app.get_subcommands([](const CLI::App*) { return true; });
    for (const CLI::App* sub : subs)
      verb.verbs.emplace_back(sub->get_name(), sub->get_description());
    all.push_back(std::move(verb));
    for (const CLI::App* sub : subs) visit(*sub);
  };
  visit(root);
  return all;
}

// For single quotes of bash and zsh.
std::string Quote(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string QuoteFish(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string Pattern(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : "|") + name;
  return out;
}

// The part that bash and zsh share: a function that sets `sotto_kind` and `sotto_words` from the
// words before the cursor. $1 is the word before it; the rest are all words before it.
std::string ShellCases(const std::vector<VerbInfo>& verbs) {
  std::string paths, values, words, takes;
  for (const VerbInfo& verb : verbs) {
    if (verb.path != "sotto") paths += (paths.empty() ? "" : "|") + Quote(verb.path);
    std::string list;
    for (const auto& [name, help] : verb.verbs) list += name + " ";
    for (const FlagInfo& flag : verb.flags) {
      for (const std::string& name : flag.names) list += name + " ";
    }
    words += "    " + Quote(verb.path) + ") sotto_words=" + Quote(list) + "; sotto_kind=" +
             (verb.members       ? "members"
              : verb.codes       ? "codes"
              : verb.generations ? "generations"
              : verb.files       ? "files"
                                 : "words") +
             " ;;\n";
    for (const FlagInfo& flag : verb.flags) {
      if (!flag.has_value) continue;
      for (const std::string& name : flag.names) {
        takes += (takes.empty() ? "" : "|") + name;
      }
      std::string choices;
      for (const std::string& choice : flag.choices) choices += choice + " ";
      values += "    " + Pattern(flag.names) +
                ") sotto_kind=" + (flag.is_file ? "files" : "values") + "; sotto_words=" +
                (flag.is_member ? "\"$(" + std::string(kMembers) + ")\"" : Quote(choices)) +
                "; return ;;\n";
    }
  }
  return "_sotto_look() {\n"
         "  local prev=$1 at=sotto word skip=0\n"
         "  shift\n"
         "  for word in \"$@\"; do\n"
         "    if [ $skip = 1 ]; then skip=0; continue; fi\n"
         "    case \"$word\" in\n"
         "      " +
         takes +
         ") skip=1; continue ;;\n"
         "    esac\n"
         "    case \"$at $word\" in\n"
         "      " +
         paths +
         ") at=\"$at $word\" ;;\n"
         "    esac\n"
         "  done\n"
         "  case \"$prev\" in\n" +
         values +
         "  esac\n"
         "  case \"$at\" in\n" +
         words +
         "  esac\n"
         "  case \"$sotto_kind\" in\n"
         "    members) sotto_words=\"$(" +
         kMembers +
         ") $sotto_words\" ;;\n"
         "    generations) sotto_words=\"$(" +
         kGenerations +
         ") $sotto_words\" ;;\n"
         "    codes) sotto_words=\"events $(" +
         kCodes +
         ") $sotto_words\" ;;\n"
         "  esac\n"
         "}\n";
}

}  // namespace

std::string BashCompletion(const CLI::App& root) {
  return "# bash completion of sotto: source <(sotto completion bash)\n" + ShellCases(Walk(root)) +
         "_sotto() {\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} sotto_kind=words sotto_words=\n"
         "  COMPREPLY=()\n"
         "  _sotto_look \"${COMP_WORDS[COMP_CWORD-1]}\" \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"\n"
         "  COMPREPLY=($(compgen -W \"$sotto_words\" -- \"$cur\"))\n"
         "  [ $sotto_kind = files ] && COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
         "  return 0\n"
         "}\n"
         "complete -o filenames -F _sotto sotto\n";
}

std::string ZshCompletion(const CLI::App& root) {
  return "#compdef sotto\n# zsh completion of sotto: sotto completion zsh > "
         "\"${fpath[1]}/_sotto\"\n" +
         ShellCases(Walk(root)) +
         "_sotto() {\n"
         "  local sotto_kind=words sotto_words=\n"
         "  _sotto_look \"${words[CURRENT-1]}\" \"${(@)words[2,CURRENT-1]}\"\n"
         "  compadd -- ${=sotto_words}\n"
         "  [ $sotto_kind = files ] && _files\n"
         "  return 0\n"
         "}\n"
         "if [ \"$funcstack[1]\" = _sotto ]; then _sotto \"$@\"; else compdef _sotto sotto; fi\n";
}

std::string FishCompletion(const CLI::App& root) {
  const std::vector<VerbInfo> verbs = Walk(root);
  std::string out =
      "# fish completion of sotto: sotto completion fish | source\n"
      "function __sotto_at\n"
      "  set -l path sotto\n"
      "  for word in (commandline -opc)[2..-1]\n"
      "    switch \"$path $word\"\n      case";
  for (const VerbInfo& verb : verbs) {
    if (verb.path != "sotto") out += " " + QuoteFish(verb.path);
  }
  out +=
      "\n        set path \"$path $word\"\n"
      "    end\n"
      "  end\n"
      "  test \"$path\" = \"$argv[1]\"\n"
      "end\n"
      "complete -c sotto -f\n";
  for (const VerbInfo& verb : verbs) {
    const std::string at = "complete -c sotto -n " + QuoteFish("__sotto_at \"" + verb.path + "\"");
    for (const auto& [name, help] : verb.verbs) {
      out += at + " -a " + name + " -d " + QuoteFish(help) + "\n";
    }
    if (verb.members) out += at + " -a '(" + kMembers + ")'\n";
    if (verb.codes) out += at + " -a 'events (" + std::string(kCodes) + ")'\n";
    if (verb.generations) out += at + " -a '(" + kGenerations + ")'\n";
    if (verb.files) out += at + " -F\n";
    // Global flags fit everywhere.
    const std::string flag_at = verb.path == "sotto" ? "complete -c sotto" : at;
    for (const FlagInfo& flag : verb.flags) {
      out += flag_at;
      for (const std::string& name : flag.names) {
        out += name[1] == '-' ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      out += " -d " + QuoteFish(flag.help);
      if (flag.has_value) out += flag.is_file ? " -r -F" : " -x";
      if (flag.is_member) out += " -a '(" + std::string(kMembers) + ")'";
      if (!flag.choices.empty()) {
        std::string choices;
        for (const std::string& choice : flag.choices)
          choices += (choices.empty() ? "" : " ") + choice;
        out += " -a " + QuoteFish(choices);
      }
      out += "\n";
    }
  }
  return out;
}

}  // namespace sotto::cli
