#include "gossip/set_hash.h"

#include <bit>
#include <cstddef>

namespace sotto {
namespace {

// SipHash-2-4 over bytes that come in pieces.
class SipHash {
 public:
  SipHash(uint64_t k0, uint64_t k1)
      : v0_(k0 ^ 0x736f6d6570736575),
        v1_(k1 ^ 0x646f72616e646f6d),
        v2_(k0 ^ 0x6c7967656e657261),
        v3_(k1 ^ 0x7465646279746573) {}

  void Update(uint8_t byte) {
    pending_ |= uint64_t{byte} << (8 * (length_ % 8));
    if (++length_ % 8 == 0) Compress();
  }

  void Update(std::string_view text) {
    for (const char c : text) Update(static_cast<uint8_t>(c));
  }

  uint64_t Finish() {
    pending_ |= (length_ & 255) << 56;
    Compress();
    v2_ ^= 255;
    for (int i = 0; i < 4; ++i) Round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  void Compress() {
    v3_ ^= pending_;
    Round();
    Round();
    v0_ ^= pending_;
    pending_ = 0;
  }

  void Round() {
    v0_ += v1_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v3_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v2_ = std::rotl(v2_, 32);
  }

  uint64_t v0_, v1_, v2_, v3_;
  uint64_t pending_ = 0;
  uint64_t length_ = 0;
};

uint64_t DeriveKey(std::string_view cluster, uint64_t number) {
  SipHash hash(number, 0x736f74746f2d7365);
  hash.Update(cluster);
  return hash.Finish();
}

uint64_t HashElement(const uint64_t (&key)[2], std::string_view name, const Hash256& statement) {
  SipHash hash(key[0], key[1]);
  // The length first: no two pairs of name and hash are the same bytes.
  hash.Update(static_cast<uint8_t>(name.size()));
  hash.Update(name);
  for (const uint8_t byte : statement.bytes) hash.Update(byte);
  return hash.Finish();
}

}  // namespace

SetHasher::SetHasher(std::string_view cluster)
    : key_low_{DeriveKey(cluster, 1), DeriveKey(cluster, 2)},
      key_high_{DeriveKey(cluster, 3), DeriveKey(cluster, 4)} {}

void SetHasher::Add(std::string_view name, const Hash256& statement) {
  const SetHash element = Element(name, statement);
  value_.low += element.low;
  value_.high += element.high;
}

void SetHasher::Remove(std::string_view name, const Hash256& statement) {
  const SetHash element = Element(name, statement);
  value_.low -= element.low;
  value_.high -= element.high;
}

SetHash SetHasher::Element(std::string_view name, const Hash256& statement) const {
  return {HashElement(key_low_, name, statement), HashElement(key_high_, name, statement)};
}

}  // namespace sotto
