#include "gossip/base/coded_error.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace sotto {
namespace {

constexpr char kPayloadUrl[] = "sotto/code";

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

absl::Status CodedError(absl::StatusCode kind, std::string_view code, std::string_view message) {
  absl::Status status(kind, View(message));
  status.SetPayload(kPayloadUrl, absl::Cord(View(code)));
  return status;
}

std::string ErrorCode(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  return payload.has_value() ? std::string(*payload) : std::string();
}

std::string Describe(const absl::Status& status) {
  const std::string code = ErrorCode(status);
  if (code.empty()) return std::string(status.message());
  return absl::StrCat(code, ": ", status.message());
}

absl::Status WithContext(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  absl::Status result(status.code(), absl::StrCat(View(context), ": ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
  return result;
}

}  // namespace sotto
