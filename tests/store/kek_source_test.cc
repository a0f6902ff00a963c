#include "store/kek_source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "crypto/base64.h"
#include "gossip/base/coded_error.h"
#include "tests/support/other_user.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Counting(size_t size, uint8_t from = 0) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<uint8_t>(from + i));
  return EncodeBase64(bytes);
}

const std::string kKekText = Counting(32);

std::string IdOf(const std::string& text) { return ToString((*ParseKekText(text))->id()); }

void Write(const std::string& path, const std::string& text, mode_t mode = 0600) {
  std::ofstream(path) << text;
  ASSERT_EQ(chmod(path.c_str(), mode), 0);
}

// What a node with this setting has: the id of the one that wraps, or the code.
std::string Look(const std::string& source, const std::string& active = "") {
  const auto ring = LookAtKeks({.source = source, .active = active});
  if (!ring.ok()) return ErrorCode(ring.status());
  return *ring == nullptr ? "none" : ToString((*ring)->active()->id());
}

std::string MessageOf(const std::string& source, const std::string& active = "") {
  return std::string(LookAtKeks({.source = source, .active = active}).status().message());
}

class KekFolder : public testing::Test {
 protected:
  KekFolder() {
    const int made = mkdir(folder_.c_str(), 0700);
    EXPECT_EQ(made, 0);
  }
  std::string File(const std::string& name) const { return folder_ + "/" + name; }
  std::string Source() const { return "folder:" + folder_; }

  const TempDir dir_;
  const std::string folder_ = dir_.File("keks");
};

TEST(ParseKekSource, KnowsFourForms) {
  for (const char* good : {"file:/etc/sotto/kek", "folder:/etc/sotto/keks", "credential:sotto-kek",
                           "env:SOTTO_KEK", "file:kek", "file:/a:b"}) {
    const auto source = ParseKekSource(good);
    SOTTO_ASSERT_OK(source);
    EXPECT_EQ(ToString(*source), good);
  }
  for (const char* bad :
       {"", "/etc/sotto/kek", "File:/etc/kek", "file:", "folder:", "credential:", "env:",
        "credential:../kek", "credential:.kek", "credential:a/b", "env:1A", "env:A B", "env:A-B",
        "env:SOTTO_NODE__NAME", "vault:x", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}) {
    const auto source = ParseKekSource(bad);
    EXPECT_THAT(source, HasCode("KEK_SOURCE_INVALID")) << bad;
    EXPECT_THAT(std::string(source.status().message()), Not(HasSubstr("AAECAwQF")));
  }
  for (const char* two : {"file:/a,env:B", "file:/a env:B", "env:B;credential:c", "file:/a|file:/b",
                          "folder:/a\nfile:/b"}) {
    EXPECT_THAT(ParseKekSource(two), HasCode("KEK_TWO_SOURCES")) << two;
  }
}

// ---- the table of KEK files: each gives exactly this --------------------------------------------

TEST(KekFile, TakesWhatTheUsualCommandsWrite) {
  const TempDir dir;
  Write(dir.File("kek"), kKekText + "\n");
  EXPECT_EQ(Look("file:" + dir.File("kek")), IdOf(kKekText));
  Write(dir.File("kek"), kKekText, 0400);
  EXPECT_EQ(Look("file:" + dir.File("kek")), IdOf(kKekText));
  EXPECT_EQ(Look(""), "none");
}

TEST(KekFile, EveryBadTextHasItsCode) {
  const TempDir dir;
  const struct {
    const char* name;
    std::string text;
    const char* code;
  } kRows[] = {
      {"empty", "", "KEK_EMPTY"},
      {"a line end alone", "\n", "KEK_EMPTY"},
      {"31 bytes", Counting(31) + "\n", "KEK_BAD_LENGTH"},
      {"33 bytes", Counting(33) + "\n", "KEK_BAD_LENGTH"},
      {"CRLF", kKekText + "\r\n", "KEK_BAD_BASE64"},
      {"two line ends", kKekText + "\n\n", "KEK_BAD_BASE64"},
      {"two lines", kKekText + "\n" + kKekText + "\n", "KEK_BAD_BASE64"},
      {"raw bytes", std::string(32, '\xc3'), "KEK_BAD_BASE64"},
      {"a password", "cGFzc3dvcmRwYXNzd29yZHBhc3N3b3JkcGFzc3dvcmQ=", "KEK_WEAK"},
      {"a key of the cluster", "AAECAwQFBgcICQoLDA0ODw==\n", "KEK_BAD_LENGTH"},
      {"a whole file", std::string(1025, 'A'), "FILE_TOO_LONG"},
  };
  for (const auto& row : kRows) {
    Write(dir.File("kek"), row.text);
    EXPECT_EQ(Look("file:" + dir.File("kek")), row.code) << row.name;
    const std::string message = MessageOf("file:" + dir.File("kek"));
    EXPECT_THAT(message, HasSubstr(dir.File("kek"))) << row.name;
    if (row.text.size() > 16) {
      EXPECT_THAT(message, Not(HasSubstr(row.text.substr(0, 12)))) << row.name;
    }
  }
}

TEST(KekFile, EveryBadFileHasItsCode) {
  const TempDir dir;
  const std::string path = dir.File("kek"), source = "file:" + path;
  EXPECT_EQ(Look(source), "FILE_MISSING");
  EXPECT_EQ(Look("file:" + dir.File("none/kek")), "FILE_MISSING");
  EXPECT_EQ(Look("file:" + dir.path()), "FILE_NOT_REGULAR");
  Write(path, kKekText);
  for (const mode_t mode : {0640, 0604, 0644, 0666, 0620, 0601}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    EXPECT_EQ(Look(source), "SECRET_READABLE") << std::oct << mode;
  }
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  ASSERT_EQ(symlink(path.c_str(), dir.File("link").c_str()), 0);
  EXPECT_EQ(Look("file:" + dir.File("link")), "FILE_NOT_REGULAR");
  ASSERT_EQ(mkfifo(dir.File("fifo").c_str(), 0600), 0);
  EXPECT_EQ(Look("file:" + dir.File("fifo")), "FILE_NOT_REGULAR") << "and it did not block";
  ASSERT_EQ(chmod(dir.path().c_str(), 0777), 0);
  EXPECT_EQ(Look(source), "FOLDER_WRITABLE");
  ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
  EXPECT_EQ(Look(source), IdOf(kKekText)) << "the control: only the folder was wrong";
  EXPECT_EQ(Look(source, "kek"), "KEK_ACTIVE_MISSING") << "a file has no names to choose from";
}

TEST(KekFile, OwnersAndRights) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const TempDir dir;
  ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
  const std::string path = dir.File("kek"), source = "file:" + path;
  Write(path, kKekText);
  EXPECT_EQ(AsOtherUser([&] { return Look(source); }), "FILE_UNREADABLE");
  ASSERT_EQ(chown(path.c_str(), kOtherUser, kOtherUser), 0);
  EXPECT_EQ(Look(source), "FILE_WRONG_OWNER");
  EXPECT_EQ(AsOtherUser([&] { return Look(source); }), IdOf(kKekText));
  SOTTO_EXPECT_OK(LookAtKeks({.source = source, .also_owner = kOtherUser}));
}

// ---- folders ------------------------------------------------------------------------------------

TEST_F(KekFolder, OneFileWrapsAndOfSeveralTheNamedOne) {
  EXPECT_EQ(Look(Source()), "KEK_FOLDER_EMPTY");
  Write(File("2025"), kKekText + "\n");
  Write(File(".hidden"), "not a key");
  ASSERT_EQ(mkdir(File("lost+found").c_str(), 0700), 0);
  EXPECT_EQ(Look(Source()), IdOf(kKekText));
  Write(File("2026"), Counting(32, 1));
  EXPECT_EQ(Look(Source()), "KEK_AMBIGUOUS");
  EXPECT_THAT(MessageOf(Source()), HasSubstr("2025, 2026"));
  EXPECT_EQ(Look(Source(), "2026"), IdOf(Counting(32, 1)));
  EXPECT_EQ(Look(Source(), "2025"), IdOf(kKekText));
  EXPECT_EQ(Look(Source(), "2027"), "KEK_ACTIVE_MISSING");
  EXPECT_EQ(Look(Source(), "../keks/2026"), "KEK_ACTIVE_MISSING");
  EXPECT_EQ(Look(Source(), ".hidden"), "KEK_ACTIVE_MISSING");
  const auto ring = LookAtKeks({.source = Source(), .active = "2026"});
  SOTTO_ASSERT_OK(ring);
  EXPECT_EQ((*ring)->keks().size(), 2u);
  EXPECT_NE((*ring)->Find((*ParseKekText(kKekText))->id()), nullptr);
}

TEST_F(KekFolder, OneBadFileRefusesThemAll) {
  Write(File("a"), kKekText);
  Write(File("b"), "rubbish");
  EXPECT_EQ(Look(Source(), "a"), "KEK_BAD_BASE64");
  EXPECT_THAT(MessageOf(Source(), "a"), HasSubstr(File("b")));
  Write(File("b"), Counting(32, 1), 0644);
  EXPECT_EQ(Look(Source(), "a"), "SECRET_READABLE");
  ASSERT_EQ(unlink(File("b").c_str()), 0);
  ASSERT_EQ(mkfifo(File("b").c_str(), 0600), 0);
  EXPECT_EQ(Look(Source(), "a"), "FILE_NOT_REGULAR");
}

TEST_F(KekFolder, HasToBeAFolderThatIsOurs) {
  Write(File("a"), kKekText);
  EXPECT_EQ(Look("folder:" + dir_.File("none")), "FILE_MISSING");
  EXPECT_EQ(Look("folder:" + File("a")), "KEK_SOURCE_INVALID");
  ASSERT_EQ(chmod(folder_.c_str(), 0777), 0);
  EXPECT_EQ(Look(Source()), "FOLDER_WRITABLE");
  ASSERT_EQ(chmod(folder_.c_str(), 0700), 0);
  for (int i = 0; i < 32; ++i) Write(File("k" + std::to_string(i)), kKekText);
  EXPECT_EQ(Look(Source(), "a"), "KEK_TOO_MANY");
  ASSERT_EQ(unlink(File("k0").c_str()), 0);
  EXPECT_EQ(Look(Source(), "a"), IdOf(kKekText));
}

TEST_F(KekFolder, AnotherUsersFolderIsNotRead) {
  if (geteuid() != 0) GTEST_SKIP() << "needs a folder of another user";
  ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
  EXPECT_EQ(AsOtherUser([&] { return Look(Source()); }), "FILE_UNREADABLE");
  ASSERT_EQ(chown(folder_.c_str(), kOtherUser, kOtherUser), 0);
  Write(File("a"), kKekText);
  EXPECT_EQ(Look(Source()), "FOLDER_WRITABLE") << "its owner could exchange the key";
}

// A mount of Kubernetes: names are links to ..data/NAME, and ..data is a link to a dated folder.
TEST_F(KekFolder, FollowsLinksAsKubernetesMakesThem) {
  ASSERT_EQ(mkdir(File("..2026_01").c_str(), 0700), 0);
  Write(File("..2026_01/kek"), kKekText);
  ASSERT_EQ(symlink("..2026_01", File("..data").c_str()), 0);
  ASSERT_EQ(symlink("..data/kek", File("kek").c_str()), 0);
  EXPECT_EQ(Look(Source()), IdOf(kKekText));
  // Exchanged in one step, as the kubelet does.
  ASSERT_EQ(mkdir(File("..2026_02").c_str(), 0700), 0);
  Write(File("..2026_02/kek"), Counting(32, 9));
  ASSERT_EQ(symlink("..2026_02", File("..new").c_str()), 0);
  ASSERT_EQ(rename(File("..new").c_str(), File("..data").c_str()), 0);
  EXPECT_EQ(Look(Source()), IdOf(Counting(32, 9)));
  // What it leads to obeys the same rules.
  ASSERT_EQ(chmod(File("..2026_02/kek").c_str(), 0644), 0);
  EXPECT_EQ(Look(Source()), "SECRET_READABLE");
  ASSERT_EQ(chmod(File("..2026_02/kek").c_str(), 0600), 0);
  ASSERT_EQ(chmod(File("..2026_02").c_str(), 0777), 0);
  EXPECT_EQ(Look(Source()), "FOLDER_WRITABLE");
}

TEST_F(KekFolder, FollowsNoLinkOutOfItself) {
  Write(dir_.File("elsewhere"), kKekText);
  ASSERT_EQ(symlink(dir_.File("elsewhere").c_str(), File("kek").c_str()), 0);
  EXPECT_EQ(Look(Source()), "FILE_NOT_REGULAR");
  EXPECT_THAT(MessageOf(Source()), HasSubstr("leads out"));
  ASSERT_EQ(unlink(File("kek").c_str()), 0);
  ASSERT_EQ(mkdir(File("a").c_str(), 0700), 0);
  ASSERT_EQ(mkdir(File("a/b").c_str(), 0700), 0);
  Write(File("a/b/kek"), kKekText);
  ASSERT_EQ(symlink("a/b/kek", File("kek").c_str()), 0);
  EXPECT_EQ(Look(Source()), "FILE_NOT_REGULAR") << "too deep";
  ASSERT_EQ(unlink(File("kek").c_str()), 0);
  ASSERT_EQ(symlink("nowhere", File("kek").c_str()), 0);
  EXPECT_EQ(Look(Source()), "FILE_MISSING");
  ASSERT_EQ(unlink(File("kek").c_str()), 0);
  ASSERT_EQ(symlink("kek", File("kek").c_str()), 0);
  EXPECT_EQ(Look(Source()), "FILE_MISSING") << "a link to itself";
}

// ---- credentials and variables ------------------------------------------------------------------

// In a process of its own, whose environment is its own.
std::string InChild(const std::function<std::string()>& body) {
  return AsOtherUser([&] { return body(); });
}

TEST(KekCredential, ComesFromTheFolderThatSystemdNames) {
  const TempDir dir;
  ASSERT_EQ(unsetenv("CREDENTIALS_DIRECTORY"), 0);
  EXPECT_EQ(Look("credential:kek"), "KEK_NO_CREDENTIALS");
  ASSERT_EQ(setenv("CREDENTIALS_DIRECTORY", dir.path().c_str(), 1), 0);
  EXPECT_EQ(Look("credential:kek"), "FILE_MISSING");
  Write(dir.File("kek"), kKekText + "\n", 0400);
  EXPECT_EQ(Look("credential:kek"), IdOf(kKekText));
  // An access list shows as the group's right; more than reading it never gives.
  ASSERT_EQ(chmod(dir.File("kek").c_str(), 0440), 0);
  EXPECT_EQ(Look("credential:kek"), geteuid() == 0 ? IdOf(kKekText) : "SECRET_READABLE");
  EXPECT_EQ(Look("file:" + dir.File("kek")), "SECRET_READABLE");
  for (const mode_t mode : {0460, 0444, 0441}) {
    ASSERT_EQ(chmod(dir.File("kek").c_str(), mode), 0);
    EXPECT_EQ(Look("credential:kek"), "SECRET_READABLE") << std::oct << mode;
  }
  ASSERT_EQ(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

TEST(KekVariable, IsTakenOutOnceItIsRead) {
  const std::string seen = InChild([] {
    setenv("TEST_KEK", kKekText.c_str(), 1);
    const char* const in_place = getenv("TEST_KEK");
    std::string out = Look("env:TEST_KEK") + " ";  // a look leaves it
    KekLoader loader;
    const auto first = loader.Load({.source = "env:TEST_KEK"});
    out += first.ok() ? ToString((*first)->active()->id()) : ErrorCode(first.status());
    out += getenv("TEST_KEK") == nullptr ? " gone" : " there";
    out += in_place[0] == '\0' ? " wiped " : " readable ";
    out += Look("env:TEST_KEK") + " ";
    // A reload has it still; a variable that is set anew counts.
    const auto second = loader.Load({.source = "env:TEST_KEK"});
    out += second.ok() && (*second)->active() == (*first)->active() ? "kept " : "lost ";
    setenv("TEST_KEK", Counting(32, 5).c_str(), 1);
    const auto third = loader.Load({.source = "env:TEST_KEK"});
    out += third.ok() ? ToString((*third)->active()->id()) : ErrorCode(third.status());
    return out;
  });
  const std::string id = IdOf(kKekText);
  EXPECT_EQ(seen, id + " " + id + " gone wiped KEK_VARIABLE_MISSING kept " + IdOf(Counting(32, 5)));
}

TEST(KekVariable, EveryBadOneHasItsCode) {
  const std::string seen = InChild([] {
    std::string out = Look("env:TEST_KEK") + " ";
    setenv("TEST_KEK", "", 1);
    out += Look("env:TEST_KEK") + " ";
    setenv("TEST_KEK", (kKekText + "\n").c_str(), 1);
    KekLoader loader;
    out += ErrorCode(loader.Load({.source = "env:TEST_KEK"}).status()) + " ";
    out += getenv("TEST_KEK") == nullptr ? "gone " : "there ";
    setenv("TEST_KEK", kKekText.c_str(), 1);
    out += Look("env:TEST_KEK", "x");
    return out;
  });
  EXPECT_EQ(seen, "KEK_VARIABLE_MISSING KEK_EMPTY KEK_BAD_BASE64 there KEK_ACTIVE_MISSING");
}

}  // namespace
}  // namespace sotto
