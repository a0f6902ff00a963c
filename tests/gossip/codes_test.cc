#include "gossip/base/codes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "crypto/frame_codec.h"
#include "gossip/event.h"

namespace sotto {
namespace {

TEST(Codes, AreSortedAndSingle) {
  const auto codes = AllCodes();
  ASSERT_GT(codes.size(), 150u);
  for (size_t i = 1; i < codes.size(); ++i) EXPECT_LT(codes[i - 1].code, codes[i].code);
}

TEST(Codes, SayWhatWhyAndWhatToDo) {
  for (const CodeInfo& info : AllCodes()) {
    EXPECT_GT(info.what.size(), 10u) << info.code;
    EXPECT_EQ(info.what.back(), '.') << info.code;
    EXPECT_GT(info.why.size(), 5u) << info.code;
    EXPECT_FALSE(info.fix.empty()) << info.code;
    for (const std::string_view text : {info.what, info.why, info.fix}) {
      EXPECT_EQ(std::count_if(text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }),
                0)
          << info.code << ": " << text;
    }
  }
}

TEST(Codes, HoldEveryReasonOfADrop) {
  for (size_t reason = 1; reason < kDropReasons; ++reason) {
    const std::string_view word = ToString(static_cast<DropReason>(reason));
    const CodeInfo* info = FindCode(word);
    ASSERT_NE(info, nullptr) << word;
    EXPECT_EQ(info->code, word);
  }
}

TEST(Codes, HoldEveryWordOfAnEvent) {
  std::set<std::string_view> words;
  for (int kind = 0; kind < 64; ++kind) {
    const std::string_view word = ToString(static_cast<EventKind>(kind));
    if (word != "unknown") words.insert(word);
  }
  EXPECT_GE(words.size(), 17u);
  for (const std::string_view word : words) {
    const CodeInfo* info = FindCode(word);
    ASSERT_NE(info, nullptr) << word;
    EXPECT_EQ(info->code, word);
  }
}

TEST(Codes, AreFoundInAnyCase) {
  ASSERT_NE(FindCode("key_bad_length"), nullptr);
  EXPECT_EQ(FindCode("key_bad_length")->code, "KEY_BAD_LENGTH");
  EXPECT_EQ(FindCode("Bad_Tag")->code, "bad_tag");
  // Both exist: the exact spelling decides.
  EXPECT_EQ(FindCode("isolated")->code, "isolated");
  EXPECT_EQ(FindCode("ISOLATED")->code, "ISOLATED");
  EXPECT_EQ(FindCode("no such code"), nullptr);
  EXPECT_EQ(FindCode(""), nullptr);
}

TEST(Codes, AreGuessed) {
  EXPECT_EQ(NearestCode("KEY_BAD_LENGHT"), "KEY_BAD_LENGTH");
  EXPECT_EQ(NearestCode("cert_expird"), "CERT_EXPIRED");
  EXPECT_EQ(NearestCode("bad_tga"), "bad_tag");
  EXPECT_EQ(NearestCode("something else"), "");
  EXPECT_EQ(NearestCode(std::string(10'000, 'x')), "");
}

}  // namespace
}  // namespace sotto
