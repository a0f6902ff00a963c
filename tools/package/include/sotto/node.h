// A node of a sotto cluster in your own process. Start reading at gossip/node.h, or at
// docs/library.md, which has a page for each task.
#ifndef SOTTO_TOOLS_PACKAGE_INCLUDE_SOTTO_NODE_H_
#define SOTTO_TOOLS_PACKAGE_INCLUDE_SOTTO_NODE_H_

#if __cplusplus < 202002L
#error "sotto needs C++20: -std=c++20"
#endif

#include "gossip/base/coded_error.h"  // Describe(status), ErrorCode(status)
#include "gossip/node.h"
#include "gossip/version.h"

#endif  // SOTTO_TOOLS_PACKAGE_INCLUDE_SOTTO_NODE_H_
