// JSON as it leaves `sotto`: numbers as people write them, nothing in it that a terminal acts on.
#ifndef SOTTO_CMD_SOTTO_OUTPUT_JSON_TEXT_H_
#define SOTTO_CMD_SOTTO_OUTPUT_JSON_TEXT_H_

#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace sotto::cli {

// On one line, or indented by two. Doubles in their shortest form (3.8, not 3.8E0); control
// characters and direction marks as \uXXXX.
std::string JsonLine(const boost::json::value& value);
std::string JsonPretty(const boost::json::value& value);

// The envelope of docs/api.md for answers made without a daemon: no observer.
boost::json::object LocalEnvelope(std::string_view schema, boost::json::value data);

// Reading answers without trusting their shape: a member that is absent or of another type is null,
// empty, or nothing.
const boost::json::value& Member(const boost::json::value& object, std::string_view key);
std::string TextOf(const boost::json::value& value);
std::optional<double> NumberOf(const boost::json::value& value);
uint64_t CountOf(const boost::json::value& value);
bool TrueOf(const boost::json::value& value);
const boost::json::array& ArrayOf(const boost::json::value& value);
const boost::json::object& ObjectOf(const boost::json::value& value);
// A text as it is, a number or a bool as JSON, null as nothing.
std::string PlainOf(const boost::json::value& value);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_OUTPUT_JSON_TEXT_H_
