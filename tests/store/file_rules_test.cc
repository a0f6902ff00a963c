#include "store/file_rules.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "gossip/base/coded_error.h"
#include "tests/support/other_user.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

void Write(const std::string& path, const std::string& text, mode_t mode) {
  std::ofstream(path) << text;
  ASSERT_EQ(chmod(path.c_str(), mode), 0);
}

std::string Read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string CodeOf(const std::string& path) { return ErrorCode(ReadSecretFile(path).status()); }

TEST(ReadSecretFile, ReadsWhatIsOursAndClosed) {
  const TempDir dir;
  Write(dir.File("key"), "secret\n", 0600);
  const auto bytes = ReadSecretFile(dir.File("key"));
  SOTTO_ASSERT_OK(bytes);
  EXPECT_EQ(std::string(bytes->view().begin(), bytes->view().end()), "secret\n");
  SOTTO_EXPECT_OK(CheckSecretFile(dir.File("key")));
  ASSERT_EQ(chmod(dir.File("key").c_str(), 0400), 0);
  SOTTO_EXPECT_OK(ReadSecretFile(dir.File("key")));
}

TEST(ReadSecretFile, RefusesEveryOpenMode) {
  const TempDir dir;
  for (const mode_t mode : {0640, 0604, 0644, 0666, 0620, 0602, 0601, 0610}) {
    Write(dir.File("key"), "secret", mode);
    EXPECT_EQ(CodeOf(dir.File("key")), "SECRET_READABLE") << std::oct << mode;
    EXPECT_THAT(CheckSecretFile(dir.File("key")), HasCode("SECRET_READABLE"));
  }
}

TEST(ReadSecretFile, RefusesWhatIsNoFile) {
  const TempDir dir;
  EXPECT_EQ(CodeOf(dir.File("none")), "FILE_MISSING");
  EXPECT_EQ(CodeOf(dir.File("no/folder")), "FILE_MISSING");
  ASSERT_EQ(mkdir(dir.File("folder").c_str(), 0700), 0);
  EXPECT_EQ(CodeOf(dir.File("folder")), "FILE_NOT_REGULAR");
  // Nobody writes to it: a plain open would wait for ever.
  ASSERT_EQ(mkfifo(dir.File("fifo").c_str(), 0600), 0);
  EXPECT_EQ(CodeOf(dir.File("fifo")), "FILE_NOT_REGULAR");
  Write(dir.File("key"), "secret", 0600);
  ASSERT_EQ(symlink(dir.File("key").c_str(), dir.File("link").c_str()), 0);
  EXPECT_EQ(CodeOf(dir.File("link")), "FILE_NOT_REGULAR");
  EXPECT_THAT(CheckSecretFile(dir.File("link")), HasCode("FILE_NOT_REGULAR"));
  EXPECT_EQ(CodeOf("/dev/null"), "FILE_NOT_REGULAR");
}

TEST(ReadSecretFile, RefusesFoldersThatOthersCanWrite) {
  const TempDir dir;
  const std::string folder = dir.File("pki");
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  Write(folder + "/key", "secret", 0600);
  for (const mode_t mode : {0777, 0770, 0702}) {
    ASSERT_EQ(chmod(folder.c_str(), mode), 0);
    EXPECT_EQ(CodeOf(folder + "/key"), "FOLDER_WRITABLE") << std::oct << mode;
  }
  // In a sticky folder only the owner of the file can exchange it.
  ASSERT_EQ(chmod(folder.c_str(), 01777), 0);
  EXPECT_EQ(CodeOf(folder + "/key"), "");
  ASSERT_EQ(chmod(folder.c_str(), 0755), 0);
  EXPECT_EQ(CodeOf(folder + "/key"), "");
}

TEST(ReadSecretFile, RefusesForeignOwners) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const TempDir dir;
  Write(dir.File("key"), "secret", 0600);
  ASSERT_EQ(chown(dir.File("key").c_str(), kOtherUser, kOtherUser), 0);
  EXPECT_EQ(CodeOf(dir.File("key")), "FILE_WRONG_OWNER");
  SOTTO_EXPECT_OK(ReadSecretFile(dir.File("key"), {.also_owner = kOtherUser}));
  // Its owner could exchange it, were the folder theirs.
  ASSERT_EQ(chown(dir.File("key").c_str(), 0, 0), 0);
  ASSERT_EQ(chown(dir.path().c_str(), kOtherUser, kOtherUser), 0);
  EXPECT_EQ(CodeOf(dir.File("key")), "FOLDER_WRITABLE");
}

TEST(ReadSecretFile, TellsWhatThisUserMayNotOpen) {
  if (geteuid() != 0) GTEST_SKIP() << "needs a file of another user";
  const TempDir dir;
  ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
  Write(dir.File("key"), "secret", 0600);
  EXPECT_EQ(AsOtherUser([&] { return CodeOf(dir.File("key")); }), "FILE_UNREADABLE");
  EXPECT_EQ(AsOtherUser([&] { return ErrorCode(CheckSecretFile(dir.File("key"))); }),
            "FILE_UNREADABLE");
}

TEST(ReadSecretFile, HasALimit) {
  const TempDir dir;
  Write(dir.File("key"), std::string(100, 'x'), 0600);
  SOTTO_EXPECT_OK(ReadSecretFile(dir.File("key"), {.bytes_max = 100}));
  EXPECT_THAT(ReadSecretFile(dir.File("key"), {.bytes_max = 99}), HasCode("FILE_TOO_LONG"));
}

TEST(ReadPlainFile, TakesLinksAndReadableFilesButNotWritableOnes) {
  const TempDir dir;
  Write(dir.File("ca"), "text", 0644);
  ASSERT_EQ(symlink(dir.File("ca").c_str(), dir.File("link").c_str()), 0);
  EXPECT_THAT(ReadPlainFile(dir.File("link")), IsOkAndHolds(testing::Eq("text")));
  ASSERT_EQ(chmod(dir.File("ca").c_str(), 0646), 0);
  EXPECT_THAT(ReadPlainFile(dir.File("ca")), HasCode("FILE_WRITABLE"));
  EXPECT_THAT(ReadPlainFile(dir.File("none")), HasCode("FILE_MISSING"));
  EXPECT_THAT(ReadPlainFile(dir.path()), HasCode("FILE_NOT_REGULAR"));
  ASSERT_EQ(chmod(dir.File("ca").c_str(), 0644), 0);
  EXPECT_THAT(ReadPlainFile(dir.File("ca"), 4), IsOk());
  EXPECT_THAT(ReadPlainFile(dir.File("ca"), 3), HasCode("FILE_TOO_LONG"));
}

TEST(AtomicWrite, ReplacesTheWholeFileAndSetsTheMode) {
  const TempDir dir;
  const mode_t before = umask(0077);
  SOTTO_EXPECT_OK(AtomicWrite(dir.File("a"), "one", 0644));
  SOTTO_EXPECT_OK(AtomicWrite(dir.File("a"), "two", 0600));
  SOTTO_EXPECT_OK(AtomicWrite(dir.File("b"), "three", 0644));
  umask(before);
  EXPECT_EQ(Read(dir.File("a")), "two");
  struct stat info {};
  ASSERT_EQ(stat(dir.File("a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  ASSERT_EQ(stat(dir.File("b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0644u);
  EXPECT_THAT(AtomicWrite(dir.File("no/a"), "x", 0600), HasCode("FILE_MISSING"));
  EXPECT_THAT(AtomicWrite(dir.path(), "x", 0600), HasCode("FILE_UNWRITABLE"));
}

TEST(AtomicWrite, ReplacesALinkAndNotWhatItPointsTo) {
  const TempDir dir;
  Write(dir.File("target"), "old", 0600);
  ASSERT_EQ(symlink(dir.File("target").c_str(), dir.File("link").c_str()), 0);
  SOTTO_EXPECT_OK(AtomicWrite(dir.File("link"), "new", 0600));
  EXPECT_EQ(Read(dir.File("target")), "old");
  EXPECT_EQ(Read(dir.File("link")), "new");
}

// A limit on file size stands in for a full disk: the write fails in the middle.
TEST(AtomicWrite, LeavesTheOldFileWhenTheWriteFails) {
  const TempDir dir;
  ASSERT_EQ(chmod(dir.path().c_str(), 0777), 0);
  Write(dir.File("a"), "old", 0644);
  const std::string code = AsOtherUser([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{.rlim_cur = 1000, .rlim_max = 1000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return std::string("no limit");
    return ErrorCode(AtomicWrite(dir.File("a"), std::string(5000, 'x'), 0600));
  });
  EXPECT_EQ(code, "FILE_UNWRITABLE");
  EXPECT_EQ(Read(dir.File("a")), "old");
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    ++files;
  }
  EXPECT_EQ(files, 1u) << "a half-written file was left behind";
}

TEST(AtomicWrite, TellsAFullDisk) {
  const TempDir dir;
  if (geteuid() != 0 || mount("none", dir.path().c_str(), "tmpfs", 0, "size=16k") != 0) {
    GTEST_SKIP() << "needs a small file system of its own";
  }
  SOTTO_EXPECT_OK(AtomicWrite(dir.File("a"), "old", 0600));
  EXPECT_THAT(AtomicWrite(dir.File("a"), std::string(64 * 1024, 'x'), 0600), HasCode("DISK_FULL"));
  EXPECT_EQ(Read(dir.File("a")), "old");
  EXPECT_EQ(umount(dir.path().c_str()), 0);
}

TEST(AtomicWrite, GivesItsFilesToTheOwnerOfTheFolder) {
  if (geteuid() != 0) GTEST_SKIP() << "only root writes into the folders of others";
  const TempDir dir;
  ASSERT_EQ(chown(dir.path().c_str(), kOtherUser, kOtherUser), 0);
  SOTTO_ASSERT_OK(AtomicWrite(dir.File("a"), "x", 0600));
  SOTTO_ASSERT_OK(MakeFolders(dir.File("b/c"), 0700));
  for (const char* name : {"a", "b", "b/c"}) {
    struct stat info {};
    ASSERT_EQ(stat(dir.File(name).c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, kOtherUser) << name;
  }
}

TEST(AtomicCreate, NeverReplaces) {
  const TempDir dir;
  SOTTO_EXPECT_OK(AtomicCreate(dir.File("a"), "one", 0600));
  EXPECT_THAT(AtomicCreate(dir.File("a"), "two", 0600), HasCode("FILE_EXISTS"));
  EXPECT_EQ(Read(dir.File("a")), "one");
}

TEST(MakeFolders, MakesThemAllOrSaysWhatIsInTheWay) {
  const TempDir dir;
  SOTTO_EXPECT_OK(MakeFolders(dir.File("a/b/c"), 0700));
  SOTTO_EXPECT_OK(MakeFolders(dir.File("a/b/c"), 0755));
  struct stat info {};
  ASSERT_EQ(stat(dir.File("a/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  Write(dir.File("file"), "", 0600);
  EXPECT_THAT(MakeFolders(dir.File("file"), 0700), HasCode("FILE_NOT_REGULAR"));
  EXPECT_THAT(MakeFolders(dir.File("file/x"), 0700), HasCode("FILE_NOT_REGULAR"));
  ASSERT_EQ(symlink("/nonexistent", dir.File("dangling").c_str()), 0);
  EXPECT_THAT(MakeFolders(dir.File("dangling"), 0700), HasCode("FILE_NOT_REGULAR"));
}

TEST(FolderOf, Table) {
  EXPECT_EQ(FolderOf("a/b/c"), "a/b");
  EXPECT_EQ(FolderOf("a"), ".");
  EXPECT_EQ(FolderOf(""), ".");
  EXPECT_EQ(FolderOf("/c"), "/");
  EXPECT_EQ(FolderOf("/"), "/");
  EXPECT_EQ(FolderOf("a//b//"), "a");
}

TEST(WipeText, LeavesNothing) {
  std::string text(100, 's');
  const char* bytes = text.data();
  WipeText(&text);
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(std::string(bytes, 1), std::string(1, '\0'));
}

}  // namespace
}  // namespace sotto
