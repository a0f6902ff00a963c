#include "cmd/sotto/commands/payload.h"

#include <istream>
#include <iterator>

#include "absl/strings/escaping.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/text.h"
#include "gossip/base/coded_error.h"
#include "store/file_rules.h"

namespace sotto::cli {
namespace {

// The daemon says how long exactly; this bounds what is read.
constexpr size_t kPayloadBytesMax = 16 * 1024;

absl::Status TooLong() {
  return CodedError(absl::StatusCode::kInvalidArgument, "PAYLOAD_TOO_LONG",
                    "the payload is longer than 16 KiB, and an event holds about 1 KiB");
}

}  // namespace

absl::StatusOr<std::string> ReadPayload(Context& context, const std::string& word,
                                        const std::string& file) {
  if (!file.empty() && !word.empty()) {
    return CodedError(absl::StatusCode::kInvalidArgument, "USAGE",
                      "a payload and --file are both given");
  }
  if (!file.empty()) {
    absl::StatusOr<std::string> bytes = ReadPlainFile(file, kPayloadBytesMax);
    if (!bytes.ok() && ErrorCode(bytes.status()) == "FILE_TOO_LONG") return TooLong();
    return bytes;
  }
  if (word != "-") {
    if (word.size() > kPayloadBytesMax) return TooLong();
    return word;
  }
  std::string bytes;
  char c = 0;
  while (context.in().get(c)) {
    bytes += c;
    if (bytes.size() > kPayloadBytesMax) return TooLong();
  }
  return bytes;
}

void AddPayloadTo(const std::string& payload, boost::json::object* body) {
  // What Escape leaves as it is may still hold a control character, which JSON can carry.
  std::string visible;
  for (const char c : payload) {
    if (c != '\n' && c != '\t' && c != '\r') visible += c;
  }
  if (Escape(visible) == visible) {
    (*body)["payload"] = payload;
  } else {
    (*body)["payload_base64"] = absl::Base64Escape(payload);
  }
}

}  // namespace sotto::cli
