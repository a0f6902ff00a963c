// The parts of a request that come from outside: the query and the JSON body, read strictly.
//
// Errors: INVALID_ARGUMENT API_BAD_REQUEST, with the key that is wrong in the message.
#ifndef SOTTO_CMD_SOTTOD_API_REQUEST_H_
#define SOTTO_CMD_SOTTOD_API_REQUEST_H_

#include <boost/json/object.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/sottod/cluster_talk.h"
#include "gossip/statement.h"

namespace sotto {

inline constexpr size_t kJoinContactsMax = 64;
inline constexpr size_t kContactBytesMax = 300;
inline constexpr std::chrono::milliseconds kCommandTimeout = std::chrono::seconds(5);
inline constexpr std::chrono::milliseconds kCommandTimeoutMax = std::chrono::seconds(60);

absl::Status BadRequest(std::string_view message);

// "/v1/members/gw-1?all=1" taken apart, percent signs decoded.
struct ApiTarget {
  std::string path;
  std::map<std::string, std::string> query;

  // Refuses every query key that is not in `known`.
  absl::Status CheckQuery(std::initializer_list<std::string_view> known) const;
  // A whole number, or nullopt where the key is absent.
  absl::StatusOr<std::optional<uint64_t>> Number(const std::string& key) const;
  // The text of a key, or empty.
  std::string Text(const std::string& key) const;
  // "timeout_s": as in bodies.
  absl::StatusOr<std::chrono::milliseconds> Timeout() const;
};
absl::StatusOr<ApiTarget> ParseTarget(std::string_view target);

struct JoinBody {
  std::vector<std::string> contacts;
  std::chrono::milliseconds timeout = kCommandTimeout;
};
absl::StatusOr<JoinBody> ParseJoinBody(std::string_view text);

// {"timeout_s":5}; an empty text is all defaults.
absl::StatusOr<std::chrono::milliseconds> ParseTimeoutBody(std::string_view text);

// {"name":"gw-6"}
absl::StatusOr<std::string> ParseNameBody(std::string_view text);

struct TagsBody {
  std::vector<Tag> set;
  std::vector<std::string> unset;
};
absl::StatusOr<TagsBody> ParseTagsBody(std::string_view text);

// {"name":"deploy","payload":"v7","coalesce":true}; a payload that is no text as "payload_base64".
absl::StatusOr<EventOrder> ParseEventBody(std::string_view text);

// {"name":"load","payload":"","names":["gw-*"],"tags":{"zone":"a*"},"timeout_s":5,"acks":true,
// "relays":0}
absl::StatusOr<QueryOrder> ParseQueryBody(std::string_view text);

// A call without arguments: nothing, or {}.
absl::Status ParseEmptyBody(std::string_view text);

// What bodies of other calls are made of: an object with none but the known keys; a list of texts,
// empty where the key is absent; a truth value.
absl::StatusOr<boost::json::object> JsonBody(std::string_view text,
                                             std::initializer_list<std::string_view> known);
absl::StatusOr<std::vector<std::string>> JsonTexts(const boost::json::object& body,
                                                   std::string_view key, size_t count_max,
                                                   size_t bytes_max);
absl::StatusOr<bool> JsonBool(const boost::json::object& body, std::string_view key, bool fallback);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_API_REQUEST_H_
