#include "crypto/kek.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "crypto/base64.h"
#include "crypto/kek_box.h"
#include "tests/support/status_matchers.h"

namespace sotto {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Counting(size_t size, uint8_t from = 0) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<uint8_t>(from + i));
  return EncodeBase64(bytes);
}

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

KekRef KekFrom(uint8_t from) { return *ParseKekText(Counting(32, from), /*allow_weak=*/true); }

TEST(ParseKekText, EveryBadTextHasItsCode) {
  using namespace std::string_literals;
  const std::string good = Counting(32);
  const struct {
    const char* name;
    std::string text;
    const char* code;
    const char* hint;
  } kRows[] = {
      {"empty", "", "KEK_EMPTY", ""},
      {"31 bytes", Counting(31), "KEK_BAD_LENGTH", "got 31 "},
      {"33 bytes", Counting(33), "KEK_BAD_LENGTH", "got 33 "},
      {"16 bytes", Counting(16), "KEK_BAD_LENGTH", "got 16 "},
      {"64 hex digits", std::string(32, 'a') + std::string(32, '7'), "KEK_BAD_LENGTH", "hex"},
      {"CRLF", good + "\r", "KEK_BAD_BASE64", "CR LF"},
      {"two lines with CRLF", good + "\r\n\r\n", "KEK_BAD_BASE64", "CR LF"},
      {"a line end too many", good + "\n", "KEK_BAD_BASE64", "one line"},
      {"leading space", " " + good, "KEK_BAD_BASE64", "not strict"},
      {"no padding", good.substr(0, 43), "KEK_BAD_BASE64", "not strict"},
      {"raw bytes", std::string(32, '\x9c') + "\x01", "KEK_BAD_BASE64", "raw bytes"},
      {"NUL", good + "\0"s, "KEK_BAD_BASE64", "raw bytes"},
      {"URL-safe", "_-" + good.substr(2), "KEK_BAD_BASE64", "URL-safe"},
      {"equal bytes", EncodeBase64(std::vector<uint8_t>(32, 7)), "KEK_WEAK", "not random"},
      {"a passphrase", EncodeBase64(BytesOf("correct horse battery staple 4711")), "KEK_BAD_LENGTH",
       "got 33"},
      {"a password", EncodeBase64(BytesOf("correct horse battery staple 47!")), "KEK_WEAK", ""},
  };
  for (const auto& row : kRows) {
    const auto kek = ParseKekText(row.text);
    EXPECT_THAT(kek, HasCode(row.code)) << row.name;
    const std::string message(kek.status().message());
    EXPECT_THAT(message, HasSubstr(row.hint)) << row.name;
    if (row.text.size() >= 8) {
      EXPECT_THAT(message, Not(HasSubstr(row.text.substr(0, 8)))) << row.name;
    }
  }
  SOTTO_EXPECT_OK(ParseKekText(good));
  SOTTO_EXPECT_OK(ParseKekText(EncodeBase64(std::vector<uint8_t>(32, 7)), /*allow_weak=*/true));
}

TEST(KekId, HasOneSpelling) {
  const KekRef kek = KekFrom(0);
  const std::string text = ToString(kek->id());
  EXPECT_EQ(text.size(), kKekIdChars);
  ASSERT_TRUE(ParseKekId(text).has_value());
  EXPECT_EQ(*ParseKekId(text), kek->id());
  EXPECT_EQ(ToString(KekId{}), "AAAAAAAAAAA");
  EXPECT_EQ(ToString(KekId{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}), "__________8");
  EXPECT_EQ(ToString(KekId{{0xfb, 0xef, 0xbe, 0xfb, 0xef, 0xbe, 0xfb, 0xef}}), "----------8");
  for (const char* bad : {"", "AAAAAAAAAA", "AAAAAAAAAAAA", "AAAAAAAAAAB", "AAAAAAAAA+A",
                          "AAAAAAAAA/A", "AAAAAAAAAA=", "AAAAAAAAA A", "AAAAAAAAA\nA"}) {
    EXPECT_FALSE(ParseKekId(bad).has_value()) << bad;
  }
}

TEST(KekRing, FindsByIdAndKnowsWhichOneWraps) {
  const KekRef a = KekFrom(0), b = KekFrom(1), c = KekFrom(2);
  const auto ring = KekRing::Create(b, {a, KekFrom(1), a});
  SOTTO_ASSERT_OK(ring);
  EXPECT_EQ((*ring)->active(), b);
  EXPECT_EQ((*ring)->keks().size(), 2u) << "the same key twice is one";
  EXPECT_EQ((*ring)->Find(a->id()), a.get());
  EXPECT_EQ((*ring)->Find(c->id()), nullptr);
  std::vector<KekRef> many;
  for (int i = 1; i <= 32; ++i) many.push_back(KekFrom(static_cast<uint8_t>(i)));
  EXPECT_THAT(KekRing::Create(a, many), HasCode("KEK_TOO_MANY"));
  many.pop_back();
  SOTTO_EXPECT_OK(KekRing::Create(a, many));
}

TEST(KekBox, OpensOnlyForWhatItWasSealedFor) {
  const KekRef kek = KekFrom(0);
  const auto box = SealUnderKek(*kek, KekUse::kKeyCache, {"edge", "gw-1"}, BytesOf("text"));
  SOTTO_ASSERT_OK(box);
  EXPECT_EQ(box->size(), kKekBoxOverheadBytes + 4);
  const auto open = [&](KekUse use, BoundFields fields) {
    return OpenUnderKek(*kek, use, fields, *box);
  };
  const auto opened = open(KekUse::kKeyCache, {"edge", "gw-1"});
  SOTTO_ASSERT_OK(opened);
  EXPECT_EQ(std::string(opened->view().begin(), opened->view().end()), "text");
  // The lengths stand before the fields: none of these is the same list in other words.
  for (const BoundFields fields : {BoundFields{"edgegw-1"}, BoundFields{"edge", "gw-2"},
                                   BoundFields{"edge", "gw-1", ""}, BoundFields{"edg", "egw-1"}}) {
    EXPECT_THAT(open(KekUse::kKeyCache, fields), HasCode("KEY_CORRUPT"));
  }
  EXPECT_THAT(open(KekUse::kClusterKey, {"edge", "gw-1"}), HasCode("KEK_MISMATCH"));
  EXPECT_THAT(OpenUnderKek(*KekFrom(1), KekUse::kKeyCache, {"edge", "gw-1"}, *box),
              HasCode("KEK_MISMATCH"));
}

TEST(KekBox, EveryBitAndLengthCounts) {
  const KekRef kek = KekFrom(0);
  std::vector<uint8_t> box = *SealUnderKek(*kek, KekUse::kKeyCache, {"edge"}, BytesOf("text"));
  for (size_t bit = 0; bit < box.size() * 8; ++bit) {
    box[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    // The commitment and the nonce that it is made with; then what the tag covers, and the tag.
    EXPECT_THAT(OpenUnderKek(*kek, KekUse::kKeyCache, {"edge"}, box),
                HasCode(bit / 8 < 32 + 12 ? "KEK_MISMATCH" : "KEY_CORRUPT"))
        << bit;
    box[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
  }
  for (size_t size = 0; size < box.size(); ++size) {
    EXPECT_THAT(OpenUnderKek(*kek, KekUse::kKeyCache, {"edge"}, std::span(box).first(size)),
                HasCode("KEY_CORRUPT"))
        << size;
  }
  box.push_back(0);
  EXPECT_THAT(OpenUnderKek(*kek, KekUse::kKeyCache, {"edge"}, box), HasCode("KEY_CORRUPT"));
  EXPECT_FALSE(SealUnderKek(*kek, KekUse::kKeyCache, {"edge"}, {}).ok());
}

TEST(KekBox, NeverTheSameTwice) {
  const KekRef kek = KekFrom(0);
  EXPECT_NE(*SealUnderKek(*kek, KekUse::kKeyCache, {}, BytesOf("text")),
            *SealUnderKek(*kek, KekUse::kKeyCache, {}, BytesOf("text")));
}

}  // namespace
}  // namespace sotto
