// Events as one line, and the words that name them.
#ifndef SOTTO_CMD_SOTTO_COMMANDS_EVENT_TEXT_H_
#define SOTTO_CMD_SOTTO_COMMANDS_EVENT_TEXT_H_

#include <boost/json/value.hpp>
#include <span>
#include <string>

namespace sotto::cli {

struct EventWord {
  const char* word;
  const char* meaning;
};
// Every word of the API's events.
std::span<const EventWord> EventWords();

// ` "v7"` of something with a payload; ` (base64) AP8=` where it is no text; empty if it is empty.
std::string ShownPayload(const boost::json::value& said);

// "13:58:02.114  gw-3 suspected by gw-2", fit for a terminal.
std::string EventLine(const boost::json::value& event);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_COMMANDS_EVENT_TEXT_H_
