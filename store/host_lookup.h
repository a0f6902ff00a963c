// The addresses of a host's name, by a deadline.
//
// The system's resolver cannot be told to stop. It runs on a thread of its own, which is left
// behind when it is late and ends when the resolver does. Threads: any.
#ifndef SOTTO_STORE_HOST_LOOKUP_H_
#define SOTTO_STORE_HOST_LOOKUP_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "store/sql.h"

namespace sotto {

// IP addresses as text, in the resolver's order, each once; an IP literal is its own address.
// `where` begins the message. DB_HOST_UNKNOWN, DB_TIMEOUT.
absl::StatusOr<std::vector<std::string>> LookUpHost(const std::string& host,
                                                    const std::string& where, SqlTime deadline);

}  // namespace sotto

#endif  // SOTTO_STORE_HOST_LOOKUP_H_
