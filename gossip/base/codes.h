// Every code that an error, a drop or a health finding can carry: what it means and what to do.
//
// One list for logs, the API, the CLI's exit codes and `sotto explain CODE`. A test holds the tree
// against it: each code in the sources has its page here.
#ifndef SOTTO_GOSSIP_BASE_CODES_H_
#define SOTTO_GOSSIP_BASE_CODES_H_

#include <span>
#include <string_view>

namespace sotto {

struct CodeInfo {
  std::string_view code;  // KEY_BAD_LENGTH, or a drop reason such as bad_tag
  std::string_view what;  // what happened, one sentence
  std::string_view why;   // the usual causes
  std::string_view fix;   // what to do: commands that can be pasted
};

// Sorted by code.
std::span<const CodeInfo> AllCodes();

// Null if there is none; upper and lower case are alike.
const CodeInfo* FindCode(std::string_view code);

// The known code nearest in spelling, for "did you mean"; empty if none is near.
std::string_view NearestCode(std::string_view code);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_BASE_CODES_H_
