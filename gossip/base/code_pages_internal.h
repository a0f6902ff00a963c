// The pages of codes.h by subject, one file each. For codes.cc alone.
#ifndef SOTTO_GOSSIP_BASE_CODE_PAGES_INTERNAL_H_
#define SOTTO_GOSSIP_BASE_CODE_PAGES_INTERNAL_H_

#include <span>

#include "gossip/base/codes.h"

namespace sotto::internal {

std::span<const CodeInfo> KekPages();
std::span<const CodeInfo> KeysPages();
std::span<const CodeInfo> RotationPages();
std::span<const CodeInfo> TrustPages();
std::span<const CodeInfo> DaemonPages();
std::span<const CodeInfo> HandlerPages();
std::span<const CodeInfo> MessagePages();
std::span<const CodeInfo> SaidPages();
std::span<const CodeInfo> WordsPages();

}  // namespace sotto::internal

#endif  // SOTTO_GOSSIP_BASE_CODE_PAGES_INTERNAL_H_
