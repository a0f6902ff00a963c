// The members table: its columns, its sections, its lines.
#ifndef SOTTO_CMD_SOTTO_COMMANDS_MEMBER_LIST_H_
#define SOTTO_CMD_SOTTO_COMMANDS_MEMBER_LIST_H_

#include <boost/json/value.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cmd/sotto/context.h"
#include "cmd/sotto/output/render.h"

namespace sotto::cli {

// "role=gateway,zone=fra1-a".
std::string TagsText(const boost::json::value& tags);
std::string IncarnationText(const boost::json::value& incarnation);

ListView MembersView(const boost::json::value& envelope, const std::string& columns);

// Keeps the rows that fit every filter: state=alive,suspect, name=gw-1, tag.role=gateway.
// INVALID_ARGUMENT USAGE for anything else.
absl::Status FilterMembers(const std::vector<std::string>& filters, boost::json::value* envelope);

// INVALID_ARGUMENT USAGE: a word that no member can be called.
absl::Status CheckMemberWord(const std::string& name);

// One member, line by line.
void PrintMember(const boost::json::value& member, std::ostream& out);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_COMMANDS_MEMBER_LIST_H_
