// Reads tests/vectors/*.txt: "[name]", then lines of "field = hex", a block for each case.
#ifndef SOTTO_TESTS_CRYPTO_VECTORS_H_
#define SOTTO_TESTS_CRYPTO_VECTORS_H_

#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/crypto/hex.h"

namespace sotto::testing {

struct VectorCase {
  std::string name;
  std::map<std::string, Bytes, std::less<>> fields;

  const Bytes& operator[](std::string_view field) const {
    const auto at = fields.find(field);
    if (at == fields.end()) throw std::out_of_range("no field " + std::string(field));
    return at->second;
  }
  std::string Text(std::string_view field) const {
    const Bytes& bytes = (*this)[field];
    return {bytes.begin(), bytes.end()};
  }
  uint32_t U32(std::string_view field) const {
    uint32_t value = 0;
    for (const uint8_t byte : (*this)[field]) value = value << 8 | byte;
    return value;
  }
};

// The cases named `name` of a file in tests/vectors. Throws where the file is missing or malformed.
inline std::vector<VectorCase> ReadVectors(const std::string& file, std::string_view name) {
  std::ifstream in("tests/vectors/" + file);
  if (!in) throw std::runtime_error("cannot read tests/vectors/" + file);
  std::vector<VectorCase> cases;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (line.front() == '[' && line.back() == ']') {
      cases.push_back({line.substr(1, line.size() - 2), {}});
      continue;
    }
    const size_t equals = line.find(" = ");
    if (equals == std::string::npos || cases.empty())
      throw std::runtime_error("malformed: " + line);
    cases.back().fields[line.substr(0, equals)] = FromHex(line.substr(equals + 3));
  }
  std::erase_if(cases, [name](const VectorCase& one) { return one.name != name; });
  return cases;
}

}  // namespace sotto::testing

#endif  // SOTTO_TESTS_CRYPTO_VECTORS_H_
