// Secrets in whatever form they might leak, and the search for them byte by byte.
#ifndef SOTTO_TESTS_SUPPORT_SECRET_SEARCH_H_
#define SOTTO_TESTS_SUPPORT_SECRET_SEARCH_H_

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"

namespace sotto {

class SecretSearch {
 public:
  // Bytes: as they are, in hex, and in base64 behind 0, 1 or 2 other bytes.
  void AddBytes(const std::string& name, std::span<const uint8_t> bytes) {
    const std::string raw(bytes.begin(), bytes.end());
    const std::string hex = absl::BytesToHexString(raw);
    AddText(name + ", raw", raw);
    AddText(name + ", hex", hex);
    AddText(name + ", HEX", absl::AsciiStrToUpper(hex));
    for (size_t before = 0; before < 3; ++before) {
      std::string shifted(before, '\0');
      shifted += raw;
      std::string standard, web;
      absl::Base64Escape(shifted, &standard);
      absl::WebSafeBase64Escape(shifted, &web);
      // The characters at both ends depend on the neighbours.
      for (const std::string& text : {standard, web}) {
        AddText(name + ", base64", text.substr(before == 0 ? 0 : 4, text.size() - 8));
      }
    }
  }
  void AddText(const std::string& name, const std::string& text) { forms_[text] = name; }

  size_t size() const { return forms_.size(); }

  // The names of those that occur.
  std::set<std::string> FindIn(std::string_view text) const {
    std::set<std::string> found;
    for (const auto& [form, name] : forms_) {
      if (text.find(form) != std::string_view::npos) found.insert(name);
    }
    return found;
  }

 private:
  std::map<std::string, std::string> forms_;  // to names
};

}  // namespace sotto

#endif  // SOTTO_TESTS_SUPPORT_SECRET_SEARCH_H_
