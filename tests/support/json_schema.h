// Enough of JSON Schema to hold answers against docs/api.schema.json: type, const, enum, pattern,
// minimum, required, properties, additionalProperties, items, and $ref into the same text.
//
// Stricter than the standard on purpose: a property that the schema does not name is an error
// unless the schema has additionalProperties, so that nothing is answered that is not written down;
// and an unknown keyword is an error, so that no rule is silently not checked.
#ifndef SOTTO_TESTS_SUPPORT_JSON_SCHEMA_H_
#define SOTTO_TESTS_SUPPORT_JSON_SCHEMA_H_

#include <boost/json.hpp>
#include <regex>
#include <string>
#include <vector>

namespace sotto {

class JsonSchema {
 public:
  explicit JsonSchema(boost::json::value root) : root_(std::move(root)) {}

  // What is wrong with `value` by the definition `name` in $defs; empty when nothing is.
  std::vector<std::string> Check(const std::string& name, const boost::json::value& value) const {
    std::vector<std::string> errors;
    const auto& defs = root_.at("$defs").as_object();
    const auto* schema = defs.if_contains(name);
    if (schema == nullptr) return {"no definition of " + name};
    Check(*schema, value, name, errors);
    return errors;
  }

 private:
  using Value = boost::json::value;
  using Errors = std::vector<std::string>;

  static bool HasType(const Value& value, std::string_view type) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_bool();
    if (type == "null") return value.is_null();
    if (type == "number") return value.is_number();
    if (type == "integer") return value.is_int64() || value.is_uint64();
    return false;
  }

  static bool HasOneOf(const Value& value, const Value& types) {
    if (types.is_string()) return HasType(value, std::string_view(types.as_string()));
    for (const Value& type : types.as_array()) {
      if (HasType(value, std::string_view(type.as_string()))) return true;
    }
    return false;
  }

  void Check(const Value& schema, const Value& value, const std::string& at, Errors& errors) const {
    for (const auto& rule : schema.as_object()) {
      CheckRule(schema.as_object(), std::string(rule.key()), rule.value(), value, at, errors);
    }
  }

  void CheckRule(const boost::json::object& schema, const std::string& keyword, const Value& rule,
                 const Value& value, const std::string& at, Errors& errors) const {
    const auto fail = [&](const std::string& what) {
      errors.push_back(at + ": " + what + ", not " + boost::json::serialize(value).substr(0, 80));
    };
    if (keyword == "$ref") {
      const std::string name(std::string_view(rule.as_string()).substr(8));  // "#/$defs/"
      Check(root_.at("$defs").as_object().at(name), value, at, errors);
    } else if (keyword == "type") {
      if (!HasOneOf(value, rule)) fail("type " + boost::json::serialize(rule));
    } else if (keyword == "const") {
      if (value != rule) fail("const " + boost::json::serialize(rule));
    } else if (keyword == "enum") {
      bool found = false;
      for (const Value& one : rule.as_array()) found = found || one == value;
      if (!found) fail("one of " + boost::json::serialize(rule));
    } else if (keyword == "pattern") {
      if (value.is_string() && !std::regex_search(std::string(value.as_string()),
                                                  std::regex(rule.as_string().c_str()))) {
        fail("pattern " + boost::json::serialize(rule));
      }
    } else if (keyword == "minimum") {
      if (value.is_number() && value.to_number<double>() < rule.to_number<double>()) {
        fail("minimum " + boost::json::serialize(rule));
      }
    } else if (keyword == "items") {
      if (!value.is_array()) return;
      size_t index = 0;
      for (const Value& item : value.as_array()) {
        Check(rule, item, at + "[" + std::to_string(index++) + "]", errors);
      }
    } else if (keyword == "required") {
      if (!value.is_object()) return;
      for (const Value& name : rule.as_array()) {
        if (!value.as_object().contains(name.as_string())) {
          fail("required " + boost::json::serialize(name));
        }
      }
    } else if (keyword == "properties" || keyword == "additionalProperties") {
      // Objects are walked once, by whichever of the two stands there.
      if (value.is_object() && (keyword == "properties" || !schema.contains("properties"))) {
        CheckProperties(schema, value.as_object(), at, errors);
      }
    } else {
      fail("a keyword that this checker knows: " + keyword);
    }
  }

  void CheckProperties(const boost::json::object& schema, const boost::json::object& value,
                       const std::string& at, Errors& errors) const {
    const Value* properties = schema.if_contains("properties");
    const Value* additional = schema.if_contains("additionalProperties");
    for (const auto& member : value) {
      const std::string where = at + "." + std::string(member.key());
      const Value* known =
          properties != nullptr ? properties->as_object().if_contains(member.key()) : nullptr;
      if (known == nullptr && additional != nullptr && additional->is_object()) known = additional;
      if (known != nullptr) {
        Check(*known, member.value(), where, errors);
      } else {
        errors.push_back(where + ": not in the schema");
      }
    }
  }

  Value root_;
};

}  // namespace sotto

#endif  // SOTTO_TESTS_SUPPORT_JSON_SCHEMA_H_
