// The release that `sottod --version`, `sotto version` and the API tell.
#ifndef SOTTO_CMD_VERSION_H_
#define SOTTO_CMD_VERSION_H_

#include <string_view>

#include "gossip/version.h"

namespace sotto {

inline constexpr std::string_view kVersion = SOTTO_VERSION;

}  // namespace sotto

#endif  // SOTTO_CMD_VERSION_H_
