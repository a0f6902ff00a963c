// What a node brings from disk: the cluster's key in the Systems table, its boot number, files that
// hold secrets. A node needs none of these classes; it needs what they read.
#ifndef SOTTO_TOOLS_PACKAGE_INCLUDE_SOTTO_STORE_H_
#define SOTTO_TOOLS_PACKAGE_INCLUDE_SOTTO_STORE_H_

#include "store/cluster_key.h"
#include "store/file_rules.h"
#include "store/node_files.h"
#include "store/node_state.h"
#include "store/open_store.h"

#endif  // SOTTO_TOOLS_PACKAGE_INCLUDE_SOTTO_STORE_H_
