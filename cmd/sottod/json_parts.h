// What the API's answers are made of: texts, numbers, the envelope, and how JSON is written.
#ifndef SOTTO_CMD_SOTTOD_JSON_PARTS_H_
#define SOTTO_CMD_SOTTOD_JSON_PARTS_H_

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gossip/member.h"
#include "gossip/statement.h"
#include "gossip/time.h"

namespace sotto {

// Who answers, and when.
struct Observer {
  std::string node;
  int64_t unix_ms = 0;
};

// Valid UTF-8, whatever comes in.
boost::json::string Text(std::string_view text);
boost::json::value NullOr(const std::optional<double>& number);
boost::json::value NullIfEmpty(std::string_view text);
// Tenths of a millisecond are what a round trip on one machine needs; more digits are noise.
double Seconds(Duration duration);
boost::json::object IncarnationJson(Incarnation incarnation);
boost::json::array Texts(const std::vector<std::string>& texts);
boost::json::object TagsObject(const std::vector<Tag>& tags);
// "payload": the bytes as text, or null where they are none; "payload_base64": always.
void AddPayload(std::string_view payload, boost::json::object& out);

boost::json::object Envelope(std::string_view schema, const Observer& observer,
                             boost::json::value data, bool complete = true);
// As json::serialize, but 0.0004 rather than 4E-4: people and small scripts read these texts too.
std::string Serialize(const boost::json::value& value);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_JSON_PARTS_H_
