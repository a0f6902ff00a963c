#include "cmd/sottod/api_request.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

namespace json = boost::json;

constexpr size_t kTargetBytesMax = 2048;
constexpr size_t kJsonDepthMax = 8;
constexpr size_t kPayloadBytesMax = 16 * 1024;
constexpr size_t kGlobsMax = 64;
constexpr int64_t kRelaysMax = 5;

std::string Quoted(std::string_view text) {
  return absl::StrCat("\"", std::string(text.substr(0, 64)), "\"");
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

absl::StatusOr<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    if (high < 0 || low < 0)
      return BadRequest("a percent sign in the target without two hex digits");
    const char c = static_cast<char>(high * 16 + low);
    if (static_cast<unsigned char>(c) < 0x20)
      return BadRequest("a control character in the target");
    out += c;
    i += 2;
  }
  return out;
}

// The body as an object whose keys are all in `known`. Nothing at all is an empty object.
absl::StatusOr<json::object> ParseObject(std::string_view text,
                                         std::initializer_list<std::string_view> known) {
  if (text.empty()) return json::object();
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  json::error_code error;
  json::value value =
      json::parse(json::string_view(text.data(), text.size()), error, json::storage_ptr(), options);
  if (error) return BadRequest("the body is not JSON: " + error.message());
  if (!value.is_object()) return BadRequest("the body is not a JSON object");
  for (const auto& member : value.get_object()) {
    const std::string_view key(member.key().data(), member.key().size());
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return BadRequest("unknown key " + Quoted(key));
    }
  }
  return std::move(value.get_object());
}

absl::StatusOr<std::string> TextOf(const json::value& value, std::string_view key,
                                   size_t bytes_max) {
  if (!value.is_string()) return BadRequest(Quoted(key) + " holds something that is not a text");
  const json::string& text = value.get_string();
  if (text.size() > bytes_max) {
    return BadRequest(absl::StrCat(Quoted(key), ": a text of more than ", bytes_max, " bytes"));
  }
  return std::string(text.data(), text.size());
}

absl::StatusOr<std::vector<std::string>> TextsOf(const json::object& body, std::string_view key,
                                                 size_t count_max, size_t bytes_max) {
  std::vector<std::string> out;
  const json::value* value = body.if_contains(json::string_view(key.data(), key.size()));
  if (value == nullptr) return out;
  if (!value->is_array()) return BadRequest(Quoted(key) + " is not a list");
  if (value->get_array().size() > count_max) {
    return BadRequest(absl::StrCat(Quoted(key), " holds more than ", count_max, " entries"));
  }
  for (const json::value& entry : value->get_array()) {
    SOTTO_ASSIGN_OR_RETURN(std::string text, TextOf(entry, key, bytes_max));
    out.push_back(std::move(text));
  }
  return out;
}

absl::StatusOr<std::chrono::milliseconds> TimeoutFrom(double seconds) {
  const double seconds_max = std::chrono::duration<double>(kCommandTimeoutMax).count();
  if (!std::isfinite(seconds) || seconds <= 0 || seconds > seconds_max) {
    return BadRequest(
        absl::StrCat("\"timeout_s\" is not a number above 0 and up to ", seconds_max));
  }
  return std::chrono::milliseconds(std::max<int64_t>(1, std::llround(seconds * 1000)));
}

absl::StatusOr<std::chrono::milliseconds> TimeoutOf(const json::object& body) {
  const json::value* value = body.if_contains("timeout_s");
  if (value == nullptr) return kCommandTimeout;
  json::error_code error;
  const double seconds = value->is_number() ? value->to_number<double>(error) : -1;
  return TimeoutFrom(error ? -1 : seconds);
}

absl::StatusOr<bool> BoolOf(const json::object& body, std::string_view key, bool fallback) {
  const json::value* value = body.if_contains(json::string_view(key.data(), key.size()));
  if (value == nullptr) return fallback;
  if (!value->is_bool()) return BadRequest(Quoted(key) + " is neither true nor false");
  return value->get_bool();
}

// How long it may be is for the node to say, with its own code.
absl::StatusOr<std::string> PayloadOf(const json::object& body) {
  const json::value* text = body.if_contains("payload");
  const json::value* base64 = body.if_contains("payload_base64");
  if (text != nullptr && base64 != nullptr) {
    return BadRequest("\"payload\" and \"payload_base64\" are both given");
  }
  if (text != nullptr) return TextOf(*text, "payload", kPayloadBytesMax);
  if (base64 == nullptr) return std::string();
  SOTTO_ASSIGN_OR_RETURN(const std::string coded,
                         TextOf(*base64, "payload_base64", 2 * kPayloadBytesMax));
  std::string payload;
  if (!absl::Base64Unescape(coded, &payload)) return BadRequest("\"payload_base64\" is no base64");
  return payload;
}

absl::StatusOr<std::string> SaidNameOf(const json::object& body) {
  const json::value* name = body.if_contains("name");
  if (name == nullptr) return BadRequest("\"name\" is missing");
  return TextOf(*name, "name", kMemberNameBytesMax);
}

}  // namespace

absl::StatusOr<json::object> JsonBody(std::string_view text,
                                      std::initializer_list<std::string_view> known) {
  return ParseObject(text, known);
}

absl::StatusOr<std::vector<std::string>> JsonTexts(const json::object& body, std::string_view key,
                                                   size_t count_max, size_t bytes_max) {
  return TextsOf(body, key, count_max, bytes_max);
}

absl::StatusOr<bool> JsonBool(const json::object& body, std::string_view key, bool fallback) {
  return BoolOf(body, key, fallback);
}

absl::Status BadRequest(std::string_view message) {
  return CodedError(absl::StatusCode::kInvalidArgument, "API_BAD_REQUEST", message);
}

absl::Status ApiTarget::CheckQuery(std::initializer_list<std::string_view> known) const {
  for (const auto& [key, value] : query) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return BadRequest("unknown query key " + Quoted(key));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<uint64_t>> ApiTarget::Number(const std::string& key) const {
  const auto found = query.find(key);
  if (found == query.end()) return std::optional<uint64_t>();
  uint64_t number = 0;
  const std::string& text = found->second;
  // 18 digits always fit.
  if (text.empty() || text.size() > 18) return BadRequest(Quoted(key) + " is not a whole number");
  for (const char c : text) {
    if (c < '0' || c > '9') return BadRequest(Quoted(key) + " is not a whole number");
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return std::optional<uint64_t>(number);
}

std::string ApiTarget::Text(const std::string& key) const {
  const auto found = query.find(key);
  return found == query.end() ? std::string() : found->second;
}

absl::StatusOr<std::chrono::milliseconds> ApiTarget::Timeout() const {
  const auto found = query.find("timeout_s");
  if (found == query.end()) return kCommandTimeout;
  double seconds = -1;
  if (!absl::SimpleAtod(found->second, &seconds)) seconds = -1;
  return TimeoutFrom(seconds);
}

absl::StatusOr<ApiTarget> ParseTarget(std::string_view target) {
  if (target.empty() || target[0] != '/' || target.size() > kTargetBytesMax) {
    return BadRequest("the target is not a path");
  }
  ApiTarget out;
  const size_t mark = target.find('?');
  SOTTO_ASSIGN_OR_RETURN(out.path, PercentDecode(target.substr(0, mark)));
  if (mark == std::string_view::npos) return out;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    SOTTO_ASSIGN_OR_RETURN(std::string key, PercentDecode(pair.substr(0, equals)));
    std::string value = "1";
    if (equals != std::string_view::npos) {
      SOTTO_ASSIGN_OR_RETURN(value, PercentDecode(pair.substr(equals + 1)));
    }
    if (!out.query.emplace(key, value).second) return BadRequest(Quoted(key) + " is given twice");
  }
  return out;
}

absl::StatusOr<JoinBody> ParseJoinBody(std::string_view text) {
  SOTTO_ASSIGN_OR_RETURN(const json::object body, ParseObject(text, {"contacts", "timeout_s"}));
  JoinBody out;
  SOTTO_ASSIGN_OR_RETURN(out.contacts,
                         TextsOf(body, "contacts", kJoinContactsMax, kContactBytesMax));
  if (out.contacts.empty()) return BadRequest("\"contacts\" is empty: whom to join?");
  SOTTO_ASSIGN_OR_RETURN(out.timeout, TimeoutOf(body));
  return out;
}

absl::StatusOr<std::chrono::milliseconds> ParseTimeoutBody(std::string_view text) {
  SOTTO_ASSIGN_OR_RETURN(const json::object body, ParseObject(text, {"timeout_s"}));
  return TimeoutOf(body);
}

absl::StatusOr<std::string> ParseNameBody(std::string_view text) {
  SOTTO_ASSIGN_OR_RETURN(const json::object body, ParseObject(text, {"name"}));
  const json::value* name = body.if_contains("name");
  if (name == nullptr) return BadRequest("\"name\" is missing");
  return TextOf(*name, "name", kMemberNameBytesMax);
}

absl::StatusOr<TagsBody> ParseTagsBody(std::string_view text) {
  SOTTO_ASSIGN_OR_RETURN(const json::object body, ParseObject(text, {"set", "unset"}));
  TagsBody out;
  if (const json::value* set = body.if_contains("set")) {
    if (!set->is_object()) return BadRequest("\"set\" is not an object");
    for (const auto& member : set->get_object()) {
      const std::string_view key(member.key().data(), member.key().size());
      SOTTO_ASSIGN_OR_RETURN(std::string value, TextOf(member.value(), key, kTagsBytesMax));
      out.set.push_back({std::string(key), std::move(value)});
    }
  }
  SOTTO_ASSIGN_OR_RETURN(out.unset, TextsOf(body, "unset", kTagsBytesMax, kTagsBytesMax));
  return out;
}

absl::StatusOr<EventOrder> ParseEventBody(std::string_view text) {
  SOTTO_ASSIGN_OR_RETURN(const json::object body,
                         ParseObject(text, {"name", "payload", "payload_base64", "coalesce"}));
  EventOrder out;
  SOTTO_ASSIGN_OR_RETURN(out.name, SaidNameOf(body));
  SOTTO_ASSIGN_OR_RETURN(out.payload, PayloadOf(body));
  SOTTO_ASSIGN_OR_RETURN(out.coalesce, BoolOf(body, "coalesce", true));
  return out;
}

absl::StatusOr<QueryOrder> ParseQueryBody(std::string_view text) {
  SOTTO_ASSIGN_OR_RETURN(const json::object body,
                         ParseObject(text, {"name", "payload", "payload_base64", "names", "tags",
                                            "timeout_s", "acks", "relays"}));
  QueryOrder out;
  SOTTO_ASSIGN_OR_RETURN(out.name, SaidNameOf(body));
  SOTTO_ASSIGN_OR_RETURN(out.payload, PayloadOf(body));
  SOTTO_ASSIGN_OR_RETURN(out.names, TextsOf(body, "names", kGlobsMax, kMemberNameBytesMax));
  SOTTO_ASSIGN_OR_RETURN(out.acks, BoolOf(body, "acks", true));
  if (body.contains("timeout_s")) {
    SOTTO_ASSIGN_OR_RETURN(out.timeout, TimeoutOf(body));
  }
  if (const json::value* tags = body.if_contains("tags")) {
    if (!tags->is_object()) return BadRequest("\"tags\" is not an object");
    for (const auto& member : tags->get_object()) {
      const std::string_view key(member.key().data(), member.key().size());
      SOTTO_ASSIGN_OR_RETURN(std::string glob, TextOf(member.value(), key, kTagsBytesMax));
      out.tags.push_back({std::string(key), std::move(glob)});
    }
    std::sort(out.tags.begin(), out.tags.end());
  }
  if (const json::value* relays = body.if_contains("relays")) {
    if (!relays->is_int64() || relays->get_int64() < 0 || relays->get_int64() > kRelaysMax) {
      return BadRequest(absl::StrCat("\"relays\" is not a whole number from 0 to ", kRelaysMax));
    }
    out.relays = static_cast<int>(relays->get_int64());
  }
  return out;
}

absl::Status ParseEmptyBody(std::string_view text) { return ParseObject(text, {}).status(); }

}  // namespace sotto
