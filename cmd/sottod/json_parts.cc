#include "cmd/sottod/json_parts.h"

#include <boost/json.hpp>
#include <charconv>
#include <cmath>
#include <iterator>
#include <utility>

#include "absl/strings/escaping.h"
#include "cmd/sottod/text.h"

namespace sotto {
namespace {

namespace json = boost::json;

void Append(const json::value& value, std::string& out) {
  if (value.is_object()) {
    out += '{';
    for (const auto& member : value.get_object()) {
      if (out.back() != '{') out += ',';
      out += json::serialize(json::string(member.key()));
      out += ':';
      Append(member.value(), out);
    }
    out += '}';
  } else if (value.is_array()) {
    out += '[';
    for (const json::value& item : value.get_array()) {
      if (out.back() != '[') out += ',';
      Append(item, out);
    }
    out += ']';
  } else if (value.is_double() && std::isfinite(value.get_double())) {
    // Without an exponent the largest double has 309 digits, the smallest some 1,080.
    char digits[1200];
    const auto end = std::to_chars(std::begin(digits), std::end(digits), value.get_double(),
                                   std::chars_format::fixed);
    out.append(digits, end.ptr);
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

json::string Text(std::string_view text) { return json::string(ValidUtf8(text)); }

json::value NullOr(const std::optional<double>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

json::value NullIfEmpty(std::string_view text) {
  return text.empty() ? json::value(nullptr) : json::value(Text(text));
}

double Seconds(Duration duration) { return static_cast<double>(duration.nanos() / 100'000) / 1e4; }

json::object Envelope(std::string_view schema, const Observer& observer, json::value data,
                      bool complete) {
  json::object out;
  out["schema"] = Text(schema);
  out["observer"] = Text(observer.node);
  out["as_of"] = Text(UtcMillis(observer.unix_ms));
  out["complete"] = complete;
  out["data"] = std::move(data);
  return out;
}

std::string Serialize(const json::value& value) {
  std::string out;
  Append(value, out);
  return out;
}

json::object IncarnationJson(Incarnation incarnation) {
  return {{"boot_number", incarnation.boot_number()}, {"counter", incarnation.counter()}};
}

json::array Texts(const std::vector<std::string>& texts) {
  json::array out;
  for (const std::string& text : texts) out.push_back(Text(text));
  return out;
}

json::object TagsObject(const std::vector<Tag>& tags) {
  json::object out;
  for (const Tag& tag : tags) out[ValidUtf8(tag.key)] = Text(tag.value);
  return out;
}

void AddPayload(std::string_view payload, json::object& out) {
  const bool is_text = ValidUtf8(payload) == payload;
  out["payload"] = is_text ? json::value(Text(payload)) : json::value(nullptr);
  out["payload_base64"] = Text(absl::Base64Escape(std::string(payload)));
}

}  // namespace sotto
