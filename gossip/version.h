// The release of this library: the one place that says it. `sottod --version`, the API, the package
// files of tools/install and the tests take it from here. What a new number promises stands in
// docs/library.md.
#ifndef SOTTO_GOSSIP_VERSION_H_
#define SOTTO_GOSSIP_VERSION_H_

#define SOTTO_VERSION_MAJOR 0
#define SOTTO_VERSION_MINOR 1
#define SOTTO_VERSION_PATCH 0

// "0.1.0"
#define SOTTO_VERSION "0.1.0"

// For #if: 0.1.0 is 100, 1.2.3 is 10203.
#define SOTTO_VERSION_NUMBER \
  (SOTTO_VERSION_MAJOR * 10000 + SOTTO_VERSION_MINOR * 100 + SOTTO_VERSION_PATCH)

#endif  // SOTTO_GOSSIP_VERSION_H_
