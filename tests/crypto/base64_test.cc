#include "crypto/base64.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gossip/base/coded_error.h"

namespace sotto {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Sequence(size_t size) {
  std::string bytes(size, '\0');
  std::iota(bytes.begin(), bytes.end(), '\0');
  return bytes;
}

std::string Encode(std::string_view bytes) {
  return EncodeBase64({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

std::string CodeOf(std::string_view text, DecodeKeyOptions options = {}) {
  const auto key = DecodeKeyBase64(text, options);
  return key.ok() ? "OK" : ErrorCode(key.status());
}

std::string MessageOf(std::string_view text) {
  return std::string(DecodeKeyBase64(text).status().message());
}

const std::string kKey16 = "AAECAwQFBgcICQoLDA0ODw==";

TEST(Base64Test, Rfc4648Examples) {
  const std::vector<std::pair<std::string, std::string>> examples = {{"", ""},
                                                                     {"f", "Zg=="},
                                                                     {"fo", "Zm8="},
                                                                     {"foo", "Zm9v"},
                                                                     {"foob", "Zm9vYg=="},
                                                                     {"fooba", "Zm9vYmE="},
                                                                     {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : examples) {
    EXPECT_EQ(Encode(bytes), text);
    const auto decoded = DecodeBase64(text);
    ASSERT_TRUE(decoded.ok()) << text;
    EXPECT_EQ(std::string(decoded->view().begin(), decoded->view().end()), bytes);
  }
  EXPECT_EQ(ErrorCode(DecodeBase64("Zg=").status()), "BASE64_BAD");
}

// Every text of four characters from a few of each class: what decodes must encode to itself, and
// whatever a lenient decoder calls the same bytes is refused.
TEST(Base64Test, EveryValueHasOneSpelling) {
  const std::string alphabet = "AQgw/+9=-_ \n.";
  for (const char a : alphabet) {
    for (const char b : alphabet) {
      for (const char c : alphabet) {
        for (const char d : alphabet) {
          const std::string text = {a, b, c, d};
          const auto ours = DecodeBase64(text);
          std::string lenient;
          const bool decodable = absl::Base64Unescape(text, &lenient);
          const bool canonical = decodable && absl::Base64Escape(lenient) == text;
          ASSERT_EQ(ours.ok(), canonical) << text;
          if (ours.ok()) {
            ASSERT_EQ(EncodeBase64(ours->view()), text);
          }
        }
      }
    }
  }
}

TEST(Base64Test, KeysOfTheThreeLengthsAreAccepted) {
  for (const size_t size : {16u, 24u, 32u}) {
    const auto key = DecodeKeyBase64(Encode(Sequence(size)));
    ASSERT_TRUE(key.ok()) << key.status();
    EXPECT_EQ(std::string(key->view().begin(), key->view().end()), Sequence(size));
  }
  EXPECT_EQ(Encode(Sequence(16)), kKey16);
}

TEST(Base64Test, WrongSpellings) {
  const std::string stem = kKey16.substr(0, 22);
  const std::vector<std::string> bad = {stem,                          // no padding
                                        stem + "=",                    // one pad of two
                                        stem + "===",                  // three pads
                                        kKey16 + "\n",                 // trailing newline
                                        kKey16 + "\r\n",               //
                                        " " + kKey16,                  // leading space
                                        "AAECAwQFBgcI CQoLDA0ODw==",   // inner space
                                        "AAECAwQFBgcI\nCQoLDA0ODw==",  // inner newline
                                        stem + "..",                   // dots for pads
                                        "AAECAwQFBgcICQoLDA0ODx==",    // stray bits
                                        stem + "==AAAA",               // data after padding
                                        "AAEC=wQFBgcICQoLDA0ODw==",    // padding inside
                                        std::string("AAEC\0wQFBgcICQoLDA0ODw==", 24),
                                        "\xef\xbb\xbf" + kKey16,           // byte order mark
                                        "AAECAwQFBgcICQoLDA0OD\xc3\xa4=",  // not ASCII
                                        "=",
                                        "====",
                                        "A",
                                        "sottok",
                                        "sottok:",
                                        "sottokx:AAAA",
                                        "sottok1:AAAA"};
  for (const std::string& text : bad) {
    EXPECT_EQ(CodeOf(text), "KEY_BAD_BASE64") << absl::CEscape(text);
    EXPECT_THAT(MessageOf(text), Not(HasSubstr("URL-safe"))) << absl::CEscape(text);
  }
}

TEST(Base64Test, TheUrlSafeAlphabetGetsAHint) {
  const std::string standard = Encode(std::string(16, '\xfb'));
  ASSERT_THAT(standard, HasSubstr("+"));
  std::string url_safe = standard;
  for (char& c : url_safe) c = c == '+' ? '-' : c == '/' ? '_' : c;
  EXPECT_EQ(CodeOf(standard), "OK");
  EXPECT_EQ(CodeOf(url_safe), "KEY_BAD_BASE64");
  EXPECT_THAT(MessageOf(url_safe), HasSubstr("URL-safe"));
}

TEST(Base64Test, WrongLengths) {
  for (const size_t size : {1u, 15u, 17u, 31u, 33u, 64u}) {
    const std::string text = Encode(Sequence(size));
    EXPECT_EQ(CodeOf(text), "KEY_BAD_LENGTH");
    EXPECT_THAT(MessageOf(text), HasSubstr("got " + std::to_string(size) + " bytes, want 16, 24"));
    EXPECT_THAT(MessageOf(text), Not(HasSubstr("hex")));
  }
  EXPECT_EQ(CodeOf(""), "KEY_EMPTY");
  EXPECT_EQ(CodeOf(std::string(1024, 'A')), "KEY_BAD_LENGTH");
  EXPECT_EQ(CodeOf(std::string(1025, 'A')), "KEY_TOO_LONG");
}

TEST(Base64Test, HexIsRefusedUnlessAllowed) {
  const std::string hex32 = "000102030405060708090a0b0c0d0e0f";
  EXPECT_EQ(CodeOf(hex32), "KEY_LOOKS_HEX");
  EXPECT_EQ(CodeOf("000102030405060708090A0B0C0D0E0F"), "KEY_LOOKS_HEX");
  EXPECT_EQ(CodeOf(hex32, {.allow_hex_looking = true}), "OK");
  EXPECT_EQ(CodeOf("000102030405060708090a0b0c0d0e0g"), "OK") << "one letter more than hex";
  const std::string hex64 = hex32 + hex32;
  EXPECT_EQ(CodeOf(hex64), "KEY_BAD_LENGTH");
  EXPECT_EQ(CodeOf(hex64, {.allow_hex_looking = true}), "KEY_BAD_LENGTH");
  EXPECT_THAT(MessageOf(hex64), HasSubstr("looks like hex"));
}

TEST(Base64Test, MessagesHoldNoPartOfTheKey) {
  const std::string secret = "c2VjcmV0c2VjcmV0";
  for (const std::string& text :
       {secret, secret + "=", secret + "-_", secret + "\n", "sottok1:" + secret}) {
    EXPECT_THAT(MessageOf(text), Not(HasSubstr(secret.substr(0, 8))));
  }
}

}  // namespace
}  // namespace sotto
