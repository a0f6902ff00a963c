// One verb in the tree, as the commands declare it. A thin layer over CLI11, so that its header,
// which costs seconds a file, is compiled in few places, and so that every flag gets its
// environment variable and every error one form.
//
// Ownership: the targets of flags must outlive the parse; commands keep them in a shared struct
// that the run function holds.
#ifndef SOTTO_CMD_SOTTO_VERB_H_
#define SOTTO_CMD_SOTTO_VERB_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cmd/sotto/context.h"

namespace sotto::cli {

class Verb {
 public:
  Verb(CLI::App* app, Context* context) : app_(app), context_(context) {}

  // A verb below this one.
  Verb Sub(const std::string& name, const std::string& summary);

  // `names` as "-f,--follow". Flags take one value each; SOTTO_FOLLOW in the environment stands in
  // for
  // --follow.
  Verb& Switch(const std::string& names, bool* target, const std::string& help);
  Verb& Text(const std::string& names, std::string* target, const std::string& value,
             const std::string& help);
  Verb& List(const std::string& names, std::vector<std::string>* target, const std::string& value,
             const std::string& help);  // may be repeated
  // … whose variable in the environment means something else: SOTTO_NODE, which handlers are given.
  Verb& ListOfWords(const std::string& names, std::vector<std::string>* target,
                    const std::string& value, const std::string& help);
  Verb& Number(const std::string& names, int64_t* target, int64_t min, int64_t max,
               const std::string& value, const std::string& help);
  Verb& Seconds(const std::string& names, double* target, const std::string& help);
  Verb& Choice(const std::string& names, std::string* target,
               const std::vector<std::string>& choices, const std::string& help);

  // Words without a flag, at least `min` and at most `max` of them (0: any number).
  Verb& Words(const std::string& name, std::vector<std::string>* target, int min, int max,
              const std::string& help);
  // One word; empty if it is not given and not `required`.
  Verb& Word(const std::string& name, std::string* target, bool required, const std::string& help);

  Verb& Example(const std::string& command, const std::string& meaning);
  // What the verb does; the result is the exit code.
  Verb& Run(std::function<int()> run);

  CLI::App* app() const { return app_; }
  Context& context() const { return *context_; }

 private:
  CLI::App* app_;
  Context* context_;
};

// "--no-headers" as "SOTTO_NO_HEADERS".
std::string EnvironmentNameOf(const std::string& long_flag);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_VERB_H_
