// sotto::testing::SimCluster: your own failover code under partitions, in a unit test. Link
// sotto::testing (CMake), sotto-testing (pkg-config) or @sotto//:testing (Bazel).
#ifndef SOTTO_TOOLS_PACKAGE_INCLUDE_SOTTO_TESTING_H_
#define SOTTO_TOOLS_PACKAGE_INCLUDE_SOTTO_TESTING_H_

#include <sotto/node.h>

#include "tests/sim/sim_cluster.h"

#endif  // SOTTO_TOOLS_PACKAGE_INCLUDE_SOTTO_TESTING_H_
