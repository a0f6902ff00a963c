#include "gossip/log.h"

#include <gtest/gtest.h>

#include <string>

namespace sotto {
namespace {

TEST(FormatRecord, IsOneLineOfWords) {
  EXPECT_EQ(FormatRecord({LogLevel::kWarn,
                          "frame_rejected",
                          {{"peer", "10.0.0.9:7950"}, {"reason", "bad_tag"}, {"count", "3"}}}),
            "frame_rejected peer=10.0.0.9:7950 reason=bad_tag count=3");
  EXPECT_EQ(FormatRecord({LogLevel::kInfo, "start", {}}), "start");
}

TEST(FormatRecord, QuotesWhatIsNoWord) {
  EXPECT_EQ(FormatRecord({LogLevel::kInfo, "e", {{"a", ""}, {"b", "two words"}, {"c", "x=y"}}}),
            "e a=\"\" b=\"two words\" c=\"x=y\"");
  EXPECT_EQ(FormatRecord({LogLevel::kInfo, "e", {{"a", "say \"hi\" \\"}}}),
            "e a=\"say \\\"hi\\\" \\\\\"");
}

// A name from the network must not write on the operator's terminal, nor forge a second line.
TEST(FormatRecord, LetsNoControlCharacterPass) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  const std::string line = FormatRecord({LogLevel::kInfo, "e", {{"v", all}, {"\n", "\x1b[31m"}}});
  for (const char c : line) {
    EXPECT_FALSE(static_cast<unsigned char>(c) < ' ' || c == 0x7f) << static_cast<int>(c);
  }
  EXPECT_NE(line.find("\\n="), std::string::npos);
  EXPECT_NE(line.find("\\x1b[31m"), std::string::npos);
  EXPECT_EQ(FormatRecord({LogLevel::kInfo,
                          "e",
                          {{"v",
                            "a\xc2\x9b"
                            "b"}}}),
            "e v=\"a\\xc2\\x9bb\"");
  EXPECT_EQ(FormatRecord({LogLevel::kInfo, "e", {{"v", "Köln"}}}), "e v=Köln");
}

TEST(LogLevel, HasWords) {
  EXPECT_EQ(ToString(LogLevel::kDebug), "debug");
  EXPECT_EQ(ToString(LogLevel::kInfo), "info");
  EXPECT_EQ(ToString(LogLevel::kWarn), "warn");
  EXPECT_EQ(ToString(LogLevel::kError), "error");
}

}  // namespace
}  // namespace sotto
