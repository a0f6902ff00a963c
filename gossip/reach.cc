#include "gossip/reach.h"

#include "gossip/base/check.h"
#include "gossip/said.h"

namespace sotto {
namespace {

constexpr char kVersion = 1;
constexpr size_t kHeaderBytes = 1 + 8 + 2;

// FNV-1a over each name and a zero byte. Only to notice that lists differ: who lies in an answer
// needs no collision for it.
uint64_t HashOf(std::span<const std::string> names) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&hash](uint8_t byte) { hash = (hash ^ byte) * 0x100000001b3; };
  for (const std::string& name : names) {
    for (const char c : name) mix(static_cast<uint8_t>(c));
    mix(0);
  }
  return hash;
}

void Append(uint64_t value, size_t bytes, std::string* out) {
  for (size_t i = bytes; i-- > 0;) out->push_back(static_cast<char>(value >> (8 * i)));
}

uint64_t Read(std::string_view bytes) {
  uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

}  // namespace

char Letter(Reach reach) { return "-utx"[static_cast<size_t>(reach) & 3]; }

std::string EncodeReach(std::span<const std::string> names, std::span<const Reach> reach) {
  SOTTO_CHECK(names.size() == reach.size());
  if (kHeaderBytes + (names.size() + 3) / 4 > kAnswerBytesMax) return {};
  std::string out(1, kVersion);
  Append(HashOf(names), 8, &out);
  Append(names.size(), 2, &out);
  out.resize(kHeaderBytes + (names.size() + 3) / 4);
  for (size_t i = 0; i < reach.size(); ++i) {
    char& byte = out[kHeaderBytes + i / 4];
    byte = static_cast<char>(static_cast<uint8_t>(byte) | static_cast<uint8_t>(reach[i])
                                                              << (2 * (i % 4)));
  }
  return out;
}

std::optional<std::vector<Reach>> DecodeReach(std::string_view bytes,
                                              std::span<const std::string> names) {
  if (bytes.size() != kHeaderBytes + (names.size() + 3) / 4 || bytes[0] != kVersion ||
      Read(bytes.substr(1, 8)) != HashOf(names) || Read(bytes.substr(9, 2)) != names.size()) {
    return std::nullopt;
  }
  std::vector<Reach> reach(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const auto byte = static_cast<uint8_t>(bytes[kHeaderBytes + i / 4]);
    reach[i] = static_cast<Reach>(byte >> (2 * (i % 4)) & 3);
  }
  return reach;
}

}  // namespace sotto
