// What a verb says to the cluster: from the command line, a file, or standard input.
#ifndef SOTTO_CMD_SOTTO_COMMANDS_PAYLOAD_H_
#define SOTTO_CMD_SOTTO_COMMANDS_PAYLOAD_H_

#include <boost/json/object.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "cmd/sotto/context.h"

namespace sotto::cli {

// `word` as it is, all of standard input for "-", the file's bytes, or nothing. USAGE if both are
// given; the codes of files; PAYLOAD_TOO_LONG beyond what any event may hold.
absl::StatusOr<std::string> ReadPayload(Context& context, const std::string& word,
                                        const std::string& file);

// "payload", or "payload_base64" where the bytes are no text.
void AddPayloadTo(const std::string& payload, boost::json::object* body);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_COMMANDS_PAYLOAD_H_
