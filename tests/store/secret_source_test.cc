#include "store/secret_source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using testing::Eq;

void Write(const std::string& path, const std::string& text, mode_t mode = 0600) {
  std::ofstream(path) << text;
  ASSERT_EQ(chmod(path.c_str(), mode), 0);
}

absl::StatusOr<std::string> Read(const std::string& source, size_t bytes_max = 64) {
  const auto bytes = ReadSecretSource(source, bytes_max);
  if (!bytes.ok()) return bytes.status();
  return std::string(bytes->view().begin(), bytes->view().end());
}

TEST(SecretSource, KnowsItsForms) {
  for (const char* good : {"file:/a", "file:a", "env:NAME_1", "credential:sql.pass-1"}) {
    SOTTO_EXPECT_OK(CheckSecretSource(good)) << good;
  }
  for (const char* bad : {"", "hunter2", "file:", "env:", "env:A-B", "env:A=B", "files:/a",
                          "credential:", "credential:..", "credential:a/b"}) {
    const absl::Status status = CheckSecretSource(bad);
    EXPECT_THAT(status, HasCode("SECRET_SOURCE_INVALID")) << bad;
    EXPECT_EQ(status.message().find("hunter2"), absl::string_view::npos);
  }
}

TEST(SecretSource, ReadsAFileUnderTheRules) {
  const TempDir dir;
  Write(dir.File("p"), "two words\n");
  EXPECT_THAT(Read("file:" + dir.File("p")), IsOkAndHolds(Eq("two words")));
  Write(dir.File("p"), "two\n\n");
  EXPECT_THAT(Read("file:" + dir.File("p")), IsOkAndHolds(Eq("two\n")));
  Write(dir.File("p"), "\n");
  EXPECT_THAT(Read("file:" + dir.File("p")), HasCode("SECRET_EMPTY"));
  Write(dir.File("p"), std::string(64, 'x') + "\n");
  EXPECT_THAT(Read("file:" + dir.File("p")), IsOkAndHolds(Eq(std::string(64, 'x'))));
  Write(dir.File("p"), std::string(65, 'x'));
  EXPECT_THAT(Read("file:" + dir.File("p")), HasCode("FILE_TOO_LONG"));
  Write(dir.File("p"), "x", 0640);
  EXPECT_THAT(Read("file:" + dir.File("p")), HasCode("SECRET_READABLE"));
  EXPECT_THAT(Read("file:" + dir.File("none")), HasCode("FILE_MISSING"));
}

TEST(SecretSource, TakesAVariableOutOfTheEnvironment) {
  ASSERT_EQ(setenv("SOTTO_TEST_SECRET", "s3cret-in-a-variable", 1), 0);
  const char* place = getenv("SOTTO_TEST_SECRET");
  EXPECT_THAT(Read("env:SOTTO_TEST_SECRET"), IsOkAndHolds(Eq("s3cret-in-a-variable")));
  EXPECT_EQ(getenv("SOTTO_TEST_SECRET"), nullptr);
  EXPECT_EQ(*place, '\0') << "the bytes are still there";
  // The process itself may ask again, and a new value counts.
  EXPECT_THAT(Read("env:SOTTO_TEST_SECRET"), IsOkAndHolds(Eq("s3cret-in-a-variable")));
  ASSERT_EQ(setenv("SOTTO_TEST_SECRET", "another", 1), 0);
  EXPECT_THAT(Read("env:SOTTO_TEST_SECRET"), IsOkAndHolds(Eq("another")));
  EXPECT_THAT(Read("env:SOTTO_TEST_NONE"), HasCode("SECRET_MISSING"));
  ASSERT_EQ(setenv("SOTTO_TEST_EMPTY", "", 1), 0);
  EXPECT_THAT(Read("env:SOTTO_TEST_EMPTY"), HasCode("SECRET_EMPTY"));
}

TEST(SecretSource, ReadsACredential) {
  unsetenv("CREDENTIALS_DIRECTORY");
  EXPECT_THAT(Read("credential:sql"), HasCode("SECRET_MISSING"));
  const TempDir dir;
  ASSERT_EQ(setenv("CREDENTIALS_DIRECTORY", dir.path().c_str(), 1), 0);
  Write(dir.File("sql"), "word\n", 0400);
  EXPECT_THAT(Read("credential:sql"), IsOkAndHolds(Eq("word")));
  EXPECT_THAT(Read("credential:none"), HasCode("FILE_MISSING"));
  if (geteuid() == 0) {
    // As systemd's access list shows.
    ASSERT_EQ(chmod(dir.File("sql").c_str(), 0440), 0);
    EXPECT_THAT(Read("credential:sql"), IsOkAndHolds(Eq("word")));
    EXPECT_THAT(Read("file:" + dir.File("sql")), HasCode("SECRET_READABLE"));
  }
  ASSERT_EQ(chmod(dir.File("sql").c_str(), 0444), 0);
  EXPECT_THAT(Read("credential:sql"), HasCode("SECRET_READABLE"));
  unsetenv("CREDENTIALS_DIRECTORY");
}

}  // namespace
}  // namespace sotto
