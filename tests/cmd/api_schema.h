// docs/api.schema.json, read from the test's own files.
#ifndef SOTTO_TESTS_CMD_API_SCHEMA_H_
#define SOTTO_TESTS_CMD_API_SCHEMA_H_

#include <boost/json.hpp>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/support/json_schema.h"

namespace sotto {

inline boost::json::value ApiSchemaText() {
  std::ifstream file("docs/api.schema.json");
  std::ostringstream text;
  text << file.rdbuf();
  return boost::json::parse(text.str());
}

// What is wrong with an answer, by the definition that it names itself; empty when nothing is.
inline std::string CheckAnswer(const std::string& body) {
  static const JsonSchema* const schema = new JsonSchema(ApiSchemaText());
  const boost::json::value value = boost::json::parse(body);
  const auto* name = value.as_object().if_contains("schema");
  std::string out;
  const std::string definition = name != nullptr ? std::string(name->as_string()) : "problem";
  for (const std::string& error : schema->Check(definition, value)) out += error + "\n";
  return out;
}

}  // namespace sotto

#endif  // SOTTO_TESTS_CMD_API_SCHEMA_H_
