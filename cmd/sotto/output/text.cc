#include "cmd/sotto/output/text.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "gossip/base/edit_distance.h"

namespace sotto::cli {
namespace {

std::string Fixed(double value, int digits, const char* unit) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f%s", digits, value, unit);
  return buffer;
}

std::string TwoUnits(uint64_t large, const char* large_unit, uint64_t small,
                     const char* small_unit) {
  std::string text = std::to_string(large) + large_unit;
  if (small != 0) text += " " + std::to_string(small) + small_unit;
  return text;
}

void AppendHexByte(unsigned char byte, std::string* out) {
  char buffer[8];
  std::snprintf(buffer, sizeof buffer, "\\x%02x", byte);
  *out += buffer;
}

void AppendCodePoint(uint32_t code, std::string* out) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "\\u%04x", code);
  *out += buffer;
}

// C1 controls and direction marks: harmless in a file, not on a terminal.
bool ActsOnTerminal(uint32_t code) {
  return (code >= 0x80 && code < 0xa0) || code == 0x061c || code == 0x200e || code == 0x200f ||
         (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
         code == 0x2028 || code == 0x2029 || code == 0xfeff;
}

// The length of the well-formed UTF-8 sequence at the head of `text`, 0 if there is none.
size_t Utf8Length(std::string_view text, uint32_t* code) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t length = first < 0xc2   ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length == 0 || text.size() < length) return 0;
  uint32_t value = first & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    value = value << 6 | (byte(i) & 0x3fu);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  if (overlong || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return 0;
  *code = value;
  return length;
}

std::string EscapeWith(std::string_view text, bool tsv) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '\n' || byte == '\t' || byte == '\r') {
      out += byte == '\n' ? "\\n" : byte == '\t' ? "\\t" : "\\r";
      ++i;
    } else if (byte == '\\' && tsv) {
      out += "\\\\";
      ++i;
    } else if (byte < 0x20 || byte == 0x7f) {
      AppendHexByte(byte, &out);
      ++i;
    } else if (byte < 0x80) {
      out += text[i++];
    } else {
      uint32_t code = 0;
      const size_t length = Utf8Length(text.substr(i), &code);
      if (length == 0) {
        AppendHexByte(byte, &out);
        ++i;
      } else {
        if (ActsOnTerminal(code)) {
          AppendCodePoint(code, &out);
        } else {
          out += text.substr(i, length);
        }
        i += length;
      }
    }
  }
  return out;
}

}  // namespace

std::string HumanDuration(double seconds) {
  if (!std::isfinite(seconds)) return "-";
  const double s = std::max(seconds, 0.0);
  if (s == 0) return "0s";
  if (s < 0.00995) return Fixed(s * 1e3, 1, "ms");
  if (s < 0.9995) return Fixed(s * 1e3, 0, "ms");
  if (s < 9.95) return Fixed(s, 1, "s");
  if (s < 59.5) return Fixed(s, 0, "s");
  if (s > 1e15) return "ages";
  const auto whole = static_cast<uint64_t>(s + 0.5);
  if (whole < 600) return TwoUnits(whole / 60, "m", whole % 60, "s");
  if (whole < 3600) return std::to_string(whole / 60) + "m";
  if (whole < 86'400) return TwoUnits(whole / 3600, "h", whole % 3600 / 60, "m");
  return TwoUnits(whole / 86'400, "d", whole % 86'400 / 3600, "h");
}

std::optional<double> ParseDuration(std::string_view text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(value) || std::signbit(value)) return std::nullopt;
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  if (unit.empty() || unit == "s") return value;
  if (unit == "ms") return value / 1e3;
  if (unit == "m" || unit == "min") return value * 60;
  if (unit == "h") return value * 3600;
  if (unit == "d") return value * 86'400;
  if (unit == "w") return value * 7 * 86'400;
  return std::nullopt;
}

std::string HumanCount(uint64_t value) {
  std::string digits = std::to_string(value);
  for (size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, " ");
  return digits;
}

std::string FormatUtc(int64_t unix_ms) {
  int64_t seconds = unix_ms / 1000, millis = unix_ms % 1000;
  if (millis < 0) {
    millis += 1000;
    --seconds;
  }
  const std::time_t when = seconds;
  std::tm parts{};
  if (gmtime_r(&when, &parts) == nullptr) return "-";
  char date[48], buffer[64];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(buffer, sizeof buffer, "%s.%03dZ", date, static_cast<int>(millis));
  return buffer;
}

std::optional<int64_t> ParseUtc(std::string_view text) {
  // 2026-11-21T14:02:11[.120]Z
  constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:dd";
  if (text.size() < kShape.size() + 1 || text.back() != 'Z') return std::nullopt;
  for (size_t i = 0; i < kShape.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kShape[i] == 'd' ? !digit : text[i] != kShape[i]) return std::nullopt;
  }
  const auto number = [&](size_t at, size_t length) {
    int value = 0;
    for (size_t i = at; i < at + length; ++i) value = value * 10 + (text[i] - '0');
    return value;
  };
  std::tm parts{};
  parts.tm_year = number(0, 4) - 1900;
  parts.tm_mon = number(5, 2) - 1;
  parts.tm_mday = number(8, 2);
  parts.tm_hour = number(11, 2);
  parts.tm_min = number(14, 2);
  parts.tm_sec = number(17, 2);
  int64_t millis = 0;
  const std::string_view fraction = text.substr(kShape.size(), text.size() - kShape.size() - 1);
  if (!fraction.empty()) {
    if (fraction[0] != '.' || fraction.size() < 2 || fraction.size() > 10) return std::nullopt;
    int64_t scale = 100;
    for (const char c : fraction.substr(1)) {
      if (c < '0' || c > '9') return std::nullopt;
      millis += scale * (c - '0');
      scale /= 10;
    }
  }
  return static_cast<int64_t>(timegm(&parts)) * 1000 + millis;
}

std::string FormatDay(int64_t unix_s) {
  const std::string text = FormatUtc(unix_s * 1000);
  return text.substr(0, text.find('T'));
}

int64_t NowUnixMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string Escape(std::string_view text) { return EscapeWith(text, false); }
std::string EscapeTsv(std::string_view text) { return EscapeWith(text, true); }

std::string Nearest(std::string_view word, std::span<const std::string> words) {
  std::string best;
  size_t best_distance = word.size() / 3 + 1;
  for (const std::string& candidate : words) {
    const size_t distance = EditDistance(word, candidate);
    // A word that differs in every letter is not near, however short it is.
    if (distance <= best_distance && distance < std::max(word.size(), candidate.size()) &&
        (best.empty() || distance < best_distance)) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string JoinWords(const std::vector<std::string>& words, std::string_view last) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? last : std::string_view(", ");
    out += words[i];
  }
  return out;
}

std::string Plural(uint64_t count, std::string_view noun) {
  std::string text = std::to_string(count) + " ";
  text += noun;
  if (count != 1) text += "s";
  return text;
}

std::string ShellQuote(std::string_view text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_./:=@%+,").find(c) != std::string_view::npos;
  });
  if (plain) return std::string(text);
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string RepeatFlag(std::string_view flag, const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) {
    text.append(" ").append(flag).append(" ").append(ShellQuote(value));
  }
  return text;
}

}  // namespace sotto::cli
