#include "gossip/log.h"

namespace sotto {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

bool NeedsQuotes(std::string_view text) {
  if (text.empty()) return true;
  for (const unsigned char c : text) {
    if (c <= ' ' || c == '"' || c == '\\' || c == '=' || c == 0x7f) return true;
  }
  return false;
}

// A record is one line on whatever terminal reads it: no control character passes, C1 controls in
// UTF-8 (0xc2 0x80 to 0xc2 0x9f) included.
void AppendEscaped(std::string* out, std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    const bool is_c1 = c == 0xc2 && next >= 0x80 && next <= 0x9f;
    if (c == '"' || c == '\\') {
      *out += '\\';
      *out += text[i];
    } else if (c == '\n') {
      *out += "\\n";
    } else if (c == '\t') {
      *out += "\\t";
    } else if (c == '\r') {
      *out += "\\r";
    } else if (c < ' ' || c == 0x7f || is_c1) {
      *out += "\\x";
      *out += kHexDigits[c >> 4];
      *out += kHexDigits[c & 15];
      if (is_c1) {
        *out += "\\x";
        *out += kHexDigits[next >> 4];
        *out += kHexDigits[next & 15];
        ++i;
      }
    } else {
      *out += text[i];
    }
  }
}

bool HasC1(std::string_view text) {
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    const auto next = static_cast<unsigned char>(text[i + 1]);
    if (text[i] == '\xc2' && next >= 0x80 && next <= 0x9f) return true;
  }
  return false;
}

}  // namespace

std::string_view ToString(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
  }
  return "info";
}

std::string FormatRecord(const LogRecord& record) {
  std::string line;
  AppendEscaped(&line, record.event);
  for (const auto& [key, value] : record.fields) {
    line += ' ';
    AppendEscaped(&line, key);
    line += '=';
    const bool quoted = NeedsQuotes(value) || HasC1(value);
    if (quoted) line += '"';
    AppendEscaped(&line, value);
    if (quoted) line += '"';
  }
  return line;
}

}  // namespace sotto
