// Small pieces of text that the log and the API share.
#ifndef SOTTO_CMD_SOTTOD_TEXT_H_
#define SOTTO_CMD_SOTTOD_TEXT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sotto {

// "2026-11-21T14:02:11.120Z".
std::string UtcMillis(int64_t unix_ms);
// "2026-11-21T14:02:11Z".
std::string UtcSeconds(int64_t unix_s);
// `text` as valid UTF-8, each bad byte as U+FFFD: what other ends say may hold anything, and a JSON
// text may not.
std::string ValidUtf8(std::string_view text);
// Lower case, two digits a byte.
std::string Hex(std::span<const uint8_t> bytes);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_TEXT_H_
