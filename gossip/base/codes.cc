#include "gossip/base/codes.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "gossip/base/code_pages_internal.h"
#include "gossip/base/edit_distance.h"

namespace sotto {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::vector<CodeInfo> Collect() {
  std::vector<CodeInfo> all;
  for (const auto pages :
       {internal::KekPages(), internal::KeysPages(), internal::RotationPages(),
        internal::TrustPages(), internal::DaemonPages(), internal::HandlerPages(),
        internal::MessagePages(), internal::SaidPages(), internal::WordsPages()}) {
    all.insert(all.end(), pages.begin(), pages.end());
  }
  std::sort(all.begin(), all.end(),
            [](const CodeInfo& a, const CodeInfo& b) { return a.code < b.code; });
  return all;
}

}  // namespace

std::span<const CodeInfo> AllCodes() {
  // Never destroyed: a code may be asked for until the very end of the process.
  static const auto& all = *new std::vector<CodeInfo>(Collect());
  return all;
}

const CodeInfo* FindCode(std::string_view code) {
  // ISOLATED is a health note and isolated an event: the exact spelling wins.
  for (const CodeInfo& info : AllCodes()) {
    if (info.code == code) return &info;
  }
  const std::string lower = Lower(code);
  for (const CodeInfo& info : AllCodes()) {
    if (Lower(info.code) == lower) return &info;
  }
  return nullptr;
}

std::string_view NearestCode(std::string_view code) {
  const std::string lower = Lower(code);
  std::string_view best;
  size_t best_distance = 1 + lower.size() / 4;  // nothing farther than this is meant
  for (const CodeInfo& info : AllCodes()) {
    const size_t distance = EditDistance(lower, Lower(info.code));
    if (distance < best_distance || (best.empty() && distance == best_distance)) {
      best = info.code;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace sotto
