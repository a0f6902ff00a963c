// Wrapped keys: known answers of an independent program (tests/vectors/make_envelope_vectors.py),
// and every way in which a value can be wrong.
#include "crypto/envelope.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "crypto/base64.h"
#include "gossip/base/coded_error.h"
#include "tests/crypto/hex.h"
#include "tests/crypto/vectors.h"
#include "tests/support/status_matchers.h"

namespace sotto {
namespace {

using testing::Bytes;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ReadVectors;
using testing::VectorCase;

KekRef KekOf(const Bytes& bytes) { return *Kek::Create(SecretBytes(bytes)); }
KekRingRef RingOf(KekRef active) { return *KekRing::Create(std::move(active), {}); }

uint64_t GenerationOf(const VectorCase& one) {
  uint64_t value = 0;
  for (const uint8_t byte : one["generation"]) value = value << 8 | byte;
  return value;
}

// The value of generation 3: AES-256 in the cluster "edge-prod".
class EnvelopeTest : public ::testing::Test {
 protected:
  EnvelopeTest() : vectors_(ReadVectors("envelope.txt", "wrapped")), one_(vectors_.at(2)) {
    kek_ = KekOf(one_["kek"]);
    ring_ = RingOf(kek_);
    value_ = one_.Text("value");
  }

  absl::StatusOr<ClusterKeyRef> Unwrap(std::string_view text, std::string_view cluster) const {
    return UnwrapKey(text, cluster, ring_.get());
  }
  std::string CodeOf(std::string_view text) const {
    const auto key = Unwrap(text, "edge-prod");
    return key.ok() ? "OK" : ErrorCode(key.status());
  }
  std::string With(size_t field, std::string_view text) const {
    std::vector<std::string> parts;
    std::string rest = value_;
    for (size_t colon = 0; (colon = rest.find(':')) != std::string::npos;) {
      parts.push_back(rest.substr(0, colon));
      rest = rest.substr(colon + 1);
    }
    parts.push_back(rest);
    parts.at(field) = text;
    return parts[0] + ":" + parts[1] + ":" + parts[2] + ":" + parts[3];
  }

  std::vector<VectorCase> vectors_;
  VectorCase one_;
  KekRef kek_;
  KekRingRef ring_;
  std::string value_;
};

TEST_F(EnvelopeTest, OpensWhatAnIndependentProgramWrapped) {
  ASSERT_EQ(vectors_.size(), 5u);
  for (const VectorCase& one : vectors_) {
    const KekRef kek = KekOf(one["kek"]);
    EXPECT_EQ(ToString(kek->id()), one.Text("kek_id_text"));
    const auto key = UnwrapKey(one.Text("value"), one.Text("cluster"), RingOf(kek).get());
    SOTTO_ASSERT_OK(key);
    EXPECT_EQ(Bytes((*key)->secret().view().begin(), (*key)->secret().view().end()), one["key"]);
    EXPECT_EQ((*key)->generation(), GenerationOf(one));
    EXPECT_EQ((*key)->cluster(), one.Text("cluster"));
    const auto parsed = ParseWrappedKey(one.Text("value"));
    SOTTO_ASSERT_OK(parsed);
    EXPECT_EQ(parsed->kek, kek->id());
  }
}

TEST_F(EnvelopeTest, WhatItWrapsItOpens) {
  std::set<std::string> values;
  for (const VectorCase& one : vectors_) {
    const KekRef kek = KekOf(one["kek"]);
    const ClusterKeyRef key =
        *ClusterKey::Create(SecretBytes(one["key"]), one.Text("cluster"), GenerationOf(one));
    const auto value = WrapKey(*key, *kek);
    SOTTO_ASSERT_OK(value);
    EXPECT_EQ(value->size(), one.Text("value").size());
    EXPECT_LE(value->size(), 200u) << "it has to fit rows and datagrams";
    EXPECT_TRUE(IsWrappedKey(*value));
    values.insert(*value);
    values.insert(*WrapKey(*key, *kek));
    const auto back = UnwrapKey(*value, one.Text("cluster"), RingOf(kek).get());
    SOTTO_ASSERT_OK(back);
    EXPECT_TRUE((*back)->secret() == key->secret());
    EXPECT_EQ((*back)->id(), key->id());
    EXPECT_EQ((*back)->generation(), key->generation());
  }
  EXPECT_EQ(values.size(), 10u) << "a nonce came twice";
  EXPECT_FALSE(WrapKey(**ClusterKey::Create(SecretBytes(one_["key"]), "c", 0), *kek_).ok());
  EXPECT_FALSE(
      WrapKey(**ClusterKey::Create(SecretBytes(one_["key"]), "c", uint64_t{1} << 63), *kek_).ok());
}

// A value has 1,192 bits of text; each one flipped is refused, and the code says what was hit.
TEST_F(EnvelopeTest, EveryFlippedBitIsRefused) {
  std::set<std::string> codes;
  for (size_t bit = 0; bit < value_.size() * 8; ++bit) {
    std::string flipped = value_;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    const auto key = Unwrap(flipped, "edge-prod");
    if (!IsWrappedKey(flipped)) {
      // Then it is read as a plain key, which it is not either.
      codes.insert(ErrorCode(DecodeKeyBase64(flipped).status()));
      ASSERT_FALSE(DecodeKeyBase64(flipped).ok());
      continue;
    }
    ASSERT_FALSE(key.ok()) << bit;
    codes.insert(ErrorCode(key.status()));
    EXPECT_THAT(std::string(key.status().message()), Not(HasSubstr(value_.substr(40, 16))));
  }
  EXPECT_EQ(codes, (std::set<std::string>{"KEK_MISMATCH", "KEK_MISSING", "KEY_BAD_BASE64",
                                          "KEY_CORRUPT", "KEY_UNSUPPORTED_VERSION"}));
}

TEST_F(EnvelopeTest, EveryFlippedBitOfTheBodyHasItsCode) {
  const WrappedKey parsed = *ParseWrappedKey(value_);
  for (size_t bit = 0; bit < parsed.box.size() * 8; ++bit) {
    std::vector<uint8_t> box = parsed.box;
    box[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    EXPECT_EQ(CodeOf(With(3, EncodeBase64(box))),
              bit / 8 < 32 + 12 ? "KEK_MISMATCH" : "KEY_CORRUPT")
        << bit;
  }
}

TEST_F(EnvelopeTest, EveryBadValueHasItsCode) {
  const std::string body = value_.substr(value_.rfind(':') + 1);
  const auto bytes = [](size_t size) { return EncodeBase64(std::vector<uint8_t>(size, 1)); };
  const struct {
    const char* name;
    std::string value;
    const char* code;
  } kRows[] = {
      {"as it is", value_, "OK"},
      {"a later form", "sottok2" + value_.substr(7), "KEY_UNSUPPORTED_VERSION"},
      {"version 01", "sottok01" + value_.substr(7), "KEY_UNSUPPORTED_VERSION"},
      {"version 11", "sottok11" + value_.substr(7), "KEY_UNSUPPORTED_VERSION"},
      {"nothing but the beginning", "sottok1:", "KEY_CORRUPT"},
      {"no body", "sottok1:AAAAAAAAAAA:1", "KEY_CORRUPT"},
      {"an empty body", With(3, ""), "KEY_CORRUPT"},
      {"a field too many", value_ + ":", "KEY_CORRUPT"},
      {"an empty KEK id", With(1, ""), "KEY_CORRUPT"},
      {"a short KEK id", With(1, "AAAAAAAA"), "KEY_CORRUPT"},
      {"stray bits in the KEK id", With(1, "AAAAAAAAAAB"), "KEY_CORRUPT"},
      {"the other alphabet in the KEK id", With(1, "AAAA+AAAAAA"), "KEY_CORRUPT"},
      {"markup in the KEK id", With(1, "<script>ab"), "KEY_CORRUPT"},
      {"another KEK id", With(1, "AAAAAAAAAAA"), "KEK_MISSING"},
      {"no generation", With(2, ""), "KEY_CORRUPT"},
      {"generation 0", With(2, "0"), "KEY_CORRUPT"},
      {"a leading zero", With(2, "03"), "KEY_CORRUPT"},
      {"a sign", With(2, "+3"), "KEY_CORRUPT"},
      {"a space", With(2, " 3"), "KEY_CORRUPT"},
      {"a negative generation", With(2, "-3"), "KEY_CORRUPT"},
      {"hex", With(2, "0x3"), "KEY_CORRUPT"},
      {"beyond 63 bits", With(2, "9223372036854775808"), "KEY_CORRUPT"},
      {"20 digits", With(2, "10000000000000000000"), "KEY_CORRUPT"},
      {"another generation", With(2, "2"), "KEY_CORRUPT"},
      {"the highest generation", With(2, "9223372036854775807"), "KEY_CORRUPT"},
      {"no padding", With(3, body.substr(0, body.size() - 1)), "KEY_BAD_BASE64"},
      {"a line end", value_ + "\n", "KEY_BAD_BASE64"},
      {"a space inside", With(3, "A A" + body.substr(3)), "KEY_BAD_BASE64"},
      {"the URL-safe alphabet", With(3, "-_" + body.substr(2)), "KEY_BAD_BASE64"},
      {"a body for no key", With(3, bytes(60)), "KEY_CORRUPT"},
      {"a body for 15 bytes", With(3, bytes(75)), "KEY_CORRUPT"},
      {"a body for 16 bytes", With(3, bytes(76)), "KEK_MISMATCH"},
      {"a body for 33 bytes", With(3, bytes(93)), "KEY_CORRUPT"},
      {"over 1024 characters", With(3, bytes(756)), "KEY_TOO_LONG"},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(CodeOf(row.value), row.code) << row.name;
    EXPECT_TRUE(IsWrappedKey(row.value)) << row.name;
    const auto key = Unwrap(row.value, "edge-prod");
    const std::string message(key.status().message());
    EXPECT_THAT(message, Not(HasSubstr(body.substr(0, 12)))) << row.name;
    EXPECT_THAT(message, Not(HasSubstr("script"))) << row.name;
  }
  for (const char* plain : {"", "sottok", "sottok:", "sottokx:A", "sottok1",
                            "Sottok1:", " sottok1:", "AAECAwQFBgcICQoLDA0ODw=="}) {
    EXPECT_FALSE(IsWrappedKey(plain)) << plain;
    EXPECT_THAT(ParseWrappedKey(plain), HasCode("KEY_CORRUPT")) << plain;
  }
}

TEST_F(EnvelopeTest, BelongsToOneClusterAndOneGeneration) {
  EXPECT_THAT(Unwrap(value_, "edge-prod2"), HasCode("KEY_CORRUPT"));
  EXPECT_THAT(Unwrap(value_, "edge-pro"), HasCode("KEY_CORRUPT"));
  EXPECT_THAT(Unwrap(value_, "Edge-prod"), HasCode("KEY_CORRUPT"));
  // The body of generation 2 under the number of generation 3.
  const std::string older = vectors_.at(1).Text("value");
  EXPECT_EQ(CodeOf(With(3, older.substr(older.rfind(':') + 1))), "KEY_CORRUPT");
}

TEST_F(EnvelopeTest, WithoutTheKekTheMessageNamesIt) {
  const std::string id = ToString(kek_->id());
  const auto none = UnwrapKey(value_, "edge-prod", nullptr);
  EXPECT_THAT(none, HasCode("KEK_MISSING"));
  EXPECT_THAT(std::string(none.status().message()), HasSubstr(id));
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("encryption.kek"));
  const KekRingRef other = RingOf(KekOf(vectors_.at(3)["kek"]));
  const auto missing = UnwrapKey(value_, "edge-prod", other.get());
  EXPECT_THAT(missing, HasCode("KEK_MISSING"));
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr(id));
  // The id of the KEK that this node has, on a value that another KEK wrapped.
  EXPECT_THAT(UnwrapKey(With(1, ToString(other->active()->id())), "edge-prod", other.get()),
              HasCode("KEK_MISMATCH"));
}

TEST_F(EnvelopeTest, ARingOpensWhatItsOtherKeksWrapped) {
  const KekRef other = KekOf(vectors_.at(3)["kek"]);
  const KekRingRef both = *KekRing::Create(other, {kek_});
  SOTTO_EXPECT_OK(UnwrapKey(value_, "edge-prod", both.get()));
  SOTTO_EXPECT_OK(UnwrapKey(vectors_.at(4).Text("value"), "e", both.get()));
}

TEST_F(EnvelopeTest, AWrappedWeakKeyIsAsWeakAsAPlainOne) {
  const ClusterKeyRef weak =
      *ClusterKey::Create(SecretBytes(Bytes(16, 7)), "edge-prod", 1, /*allow_weak=*/true);
  const std::string value = *WrapKey(*weak, *kek_);
  EXPECT_EQ(CodeOf(value), "KEY_WEAK");
  SOTTO_EXPECT_OK(UnwrapKey(value, "edge-prod", ring_.get(), {.allow_weak = true}));
}

}  // namespace
}  // namespace sotto
