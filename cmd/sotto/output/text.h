// How values read to people: durations, counts, times, and text that came from somebody else.
#ifndef SOTTO_CMD_SOTTO_OUTPUT_TEXT_H_
#define SOTTO_CMD_SOTTO_OUTPUT_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sotto::cli {

// "0.4ms", "412ms", "1.2s", "3m 20s", "11m", "4h 12m", "3d 4h". Negative values read as zero.
std::string HumanDuration(double seconds);

// The reverse, for flags: "500ms", "5s", "1.5m", "2h", "3d", "1w", or plain seconds. Nothing if the
// text is anything else, negative, or not finite.
std::optional<double> ParseDuration(std::string_view text);

// 91223117 as "91 223 117".
std::string HumanCount(uint64_t value);

// Unix milliseconds as "2026-11-21T14:02:11.120Z", and back (fraction optional; `Z` only).
std::string FormatUtc(int64_t unix_ms);
std::optional<int64_t> ParseUtc(std::string_view text);
// Unix seconds as "2026-11-21".
std::string FormatDay(int64_t unix_s);
int64_t NowUnixMs();

// Text with what a terminal would act on made visible: control characters of both sets, bytes that
// are not UTF-8, and marks that turn the direction of writing. A backslash stays as it is.
std::string Escape(std::string_view text);

// As a field of a tab-separated line: tab, newline, carriage return and backslash as \t \n \r \\;
// the rest as Escape.
std::string EscapeTsv(std::string_view text);

// The member of `words` nearest to `word` in spelling, or empty if none is near: at most a third of
// the letters differ. A swap of neighbours counts as one.
std::string Nearest(std::string_view word, std::span<const std::string> words);

// "a, b and c".
std::string JoinWords(const std::vector<std::string>& words, std::string_view last = " and ");

// "1 member", "2 members".
std::string Plural(uint64_t count, std::string_view noun);

// `text` in single quotes for a shell if it needs any.
std::string ShellQuote(std::string_view text);
// " --skip gw-3 --skip gw-7".
std::string RepeatFlag(std::string_view flag, const std::vector<std::string>& values);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_OUTPUT_TEXT_H_
