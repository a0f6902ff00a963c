#include "cmd/sotto/output/json_text.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "cmd/sotto/output/text.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

void AppendText(std::string_view text, std::string* out) {
  *out += '"';
  // Escape leaves quotes and backslashes alone and writes what it hides as \xNN or \uNNNN; here
  // every byte is looked at first, so that the result is JSON.
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '"' || byte == '\\') {
      *out += '\\';
      *out += text[i];
    } else if (byte == '\n') {
      *out += "\\n";
    } else if (byte == '\t') {
      *out += "\\t";
    } else if (byte == '\r') {
      *out += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", byte);
      *out += buffer;
    } else if (byte < 0x80) {
      *out += text[i];
    } else {
      // One well-formed sequence, or one stray byte.
      size_t length = 1;
      while (length < 4 && i + length < text.size() &&
             (static_cast<unsigned char>(text[i + length]) & 0xc0) == 0x80) {
        ++length;
      }
      const std::string shown = Escape(text.substr(i, length));
      *out += shown.find("\\x") != std::string::npos ? "\\ufffd" : shown;
      i += length - 1;
    }
  }
  *out += '"';
}

void AppendNumber(double value, std::string* out) {
  if (!std::isfinite(value)) {
    *out += "null";
    return;
  }
  // 0.0004, not 4e-04, wherever people would write it out.
  const double size = std::fabs(value);
  const bool plain = size == 0 || (size >= 1e-7 && size < 1e16);
  char buffer[64];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value,
                                    plain ? std::chars_format::fixed : std::chars_format::general);
  out->append(buffer, result.ptr);
}

class Writer {
 public:
  Writer(bool pretty, std::string* out) : pretty_(pretty), out_(out) {}

  void Write(const json::value& value, size_t depth) {
    switch (value.kind()) {
      case json::kind::null:
        *out_ += "null";
        break;
      case json::kind::bool_:
        *out_ += value.get_bool() ? "true" : "false";
        break;
      case json::kind::int64:
        *out_ += std::to_string(value.get_int64());
        break;
      case json::kind::uint64:
        *out_ += std::to_string(value.get_uint64());
        break;
      case json::kind::double_:
        AppendNumber(value.get_double(), out_);
        break;
      case json::kind::string:
        AppendText(value.get_string(), out_);
        break;
      case json::kind::array:
        WriteArray(value.get_array(), depth);
        break;
      case json::kind::object:
        WriteObject(value.get_object(), depth);
        break;
    }
  }

 private:
  void Break(size_t depth) {
    if (!pretty_) return;
    *out_ += '\n';
    out_->append(depth * 2, ' ');
  }

  void WriteArray(const json::array& array, size_t depth) {
    *out_ += '[';
    for (size_t i = 0; i < array.size(); ++i) {
      if (i > 0) *out_ += ',';
      Break(depth + 1);
      Write(array[i], depth + 1);
    }
    if (!array.empty()) Break(depth);
    *out_ += ']';
  }

  void WriteObject(const json::object& object, size_t depth) {
    *out_ += '{';
    bool first = true;
    for (const auto& [key, value] : object) {
      if (!first) *out_ += ',';
      first = false;
      Break(depth + 1);
      AppendText(key, out_);
      *out_ += pretty_ ? ": " : ":";
      Write(value, depth + 1);
    }
    if (!object.empty()) Break(depth);
    *out_ += '}';
  }

  bool pretty_;
  std::string* out_;
};

const json::value& Null() {
  static const json::value kNull;
  return kNull;
}

}  // namespace

std::string JsonLine(const json::value& value) {
  std::string out;
  Writer(false, &out).Write(value, 0);
  return out;
}

std::string JsonPretty(const json::value& value) {
  std::string out;
  Writer(true, &out).Write(value, 0);
  return out;
}

json::object LocalEnvelope(std::string_view schema, json::value data) {
  json::object envelope;
  envelope["schema"] = json::string_view(schema.data(), schema.size());
  envelope["observer"] = nullptr;
  envelope["as_of"] = FormatUtc(NowUnixMs());
  envelope["complete"] = true;
  envelope["data"] = std::move(data);
  return envelope;
}

const json::value& Member(const json::value& object, std::string_view key) {
  if (!object.is_object()) return Null();
  const json::value* found = object.get_object().if_contains({key.data(), key.size()});
  return found == nullptr ? Null() : *found;
}

std::string TextOf(const json::value& value) {
  return value.is_string() ? std::string(value.get_string()) : std::string();
}

std::optional<double> NumberOf(const json::value& value) {
  if (value.is_double()) return value.get_double();
  if (value.is_int64()) return static_cast<double>(value.get_int64());
  if (value.is_uint64()) return static_cast<double>(value.get_uint64());
  return std::nullopt;
}

uint64_t CountOf(const json::value& value) {
  if (value.is_uint64()) return value.get_uint64();
  if (value.is_int64()) return value.get_int64() < 0 ? 0 : static_cast<uint64_t>(value.get_int64());
  if (value.is_double() && value.get_double() > 0 && value.get_double() < 1e18) {
    return static_cast<uint64_t>(value.get_double());
  }
  return 0;
}

bool TrueOf(const json::value& value) { return value.is_bool() && value.get_bool(); }

const json::array& ArrayOf(const json::value& value) {
  static const json::array kEmpty;
  return value.is_array() ? value.get_array() : kEmpty;
}

const json::object& ObjectOf(const json::value& value) {
  static const json::object kEmpty;
  return value.is_object() ? value.get_object() : kEmpty;
}

std::string PlainOf(const json::value& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return TextOf(value);
  return JsonLine(value);
}

}  // namespace sotto::cli
