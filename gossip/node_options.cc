// Profiles of NodeOptions, and what can be told of them without touching the system.
#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/contacts.h"
#include "gossip/node.h"
#include "gossip/statement_codec.h"

namespace sotto {
namespace {

absl::Status Invalid(std::string_view code, const std::string& field, const std::string& message) {
  return CodedError(absl::StatusCode::kInvalidArgument, code, absl::StrCat(field, ": ", message));
}

NodeOptions With(ProtocolOptions protocol) {
  NodeOptions options;
  options.protocol = std::move(protocol);
  return options;
}

absl::Status ValidateEndpoints(const std::string& field, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    const auto endpoint = ParseEndpoint(text);
    if (!endpoint.ok()) return WithContext(endpoint.status(), field);
  }
  return absl::OkStatus();
}

absl::Status ValidateAddresses(const NodeOptions& options) {
  if (options.bind.empty()) return Invalid("ADDRESS_INVALID", "bind", "no address to bind");
  SOTTO_RETURN_IF_ERROR(ValidateEndpoints("bind", options.bind));
  SOTTO_RETURN_IF_ERROR(ValidateEndpoints("advertise", options.advertise));
  if (options.join.size() > kContactsMax) {
    return Invalid("OPTIONS_INVALID", "join", absl::StrCat("at most ", kContactsMax, " contacts"));
  }
  for (const std::string& contact : options.join) {
    const auto parts = SplitHostPort(contact);
    if (!parts.ok()) return WithContext(parts.status(), "join");
  }
  if (options.hints.size() > kHintsMax) {
    return Invalid("OPTIONS_INVALID", "hints", absl::StrCat("at most ", kHintsMax));
  }
  for (const std::string& hint : options.hints) {
    const auto parts = SplitHostPort(hint);
    if (!parts.ok()) return WithContext(parts.status(), "hints");
  }
  return absl::OkStatus();
}

absl::Status ValidateSecrets(const NodeOptions& options) {
  const std::pair<const char*, const std::string*> texts[] = {
      {"tls.ca_pem", &options.tls.ca_pem},
      {"tls.cert_pem", &options.tls.cert_pem},
      {"tls.key_pem", &options.tls.key_pem},
  };
  for (const auto& [field, text] : texts) {
    if (text->empty()) return Invalid("OPTIONS_INVALID", field, "must not be empty");
  }
  if (options.keys.empty()) {
    return Invalid("KEY_MISSING", "keys", "a node cannot start without a key");
  }
  std::set<KeyId> ids;
  for (const ClusterKeyRef& key : options.keys) {
    if (!key) return Invalid("KEY_MISSING", "keys", "one of them is null");
    if (!ids.insert(key->id()).second) {
      return Invalid("OPTIONS_INVALID", "keys", "one of them stands there twice");
    }
  }
  return absl::OkStatus();
}

}  // namespace

NodeOptions NodeOptions::Lan() { return With(ProtocolOptions::Lan()); }
NodeOptions NodeOptions::Local() { return With(ProtocolOptions::Local()); }
NodeOptions NodeOptions::Wan() { return With(ProtocolOptions::Wan()); }

absl::Status NodeOptions::Validate() const {
  if (!IsValidClusterName(cluster)) {
    return Invalid("CLUSTER_NAME_INVALID", "cluster", "must have 1 to 40 of [A-Za-z0-9._-]");
  }
  if (!IsValidMemberName(name)) {
    return Invalid("MEMBER_NAME_INVALID", "name", "must have 1 to 128 of [A-Za-z0-9._-]");
  }
  if (const auto error = protocol.Validate()) {
    return Invalid("OPTIONS_INVALID", absl::StrCat("protocol.", error->field), error->message);
  }
  SOTTO_RETURN_IF_ERROR(ValidateAddresses(*this));
  std::vector<Tag> sorted = tags;
  std::sort(sorted.begin(), sorted.end());
  if (!AreValidTags(sorted)) {
    return Invalid("TAGS_INVALID", "tags", "must have distinct keys and at most 512 bytes in all");
  }
  SOTTO_RETURN_IF_ERROR(ValidateSecrets(*this));
  if (boot_number == 0) return Invalid("OPTIONS_INVALID", "boot_number", "must be at least 1");
  return absl::OkStatus();
}

}  // namespace sotto
