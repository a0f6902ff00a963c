#include "store/cluster_key.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <set>
#include <string>
#include <vector>

#include "crypto/base64.h"
#include "crypto/envelope.h"
#include "crypto/kek.h"
#include "gossip/base/coded_error.h"
#include "store/open_store.h"
#include "tests/support/raw_sqlite.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

constexpr char kCluster[] = "edge";
constexpr char kGood16[] = "AAECAwQFBgcICQoLDA0ODw==";
constexpr char kGood24[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
constexpr char kGood32[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

// kGood32 of the cluster "edge", generation 5, under the KEK of bytes 64, 65, 66, …
constexpr char kWrapped[] =
    "sottok1:LSfGgNInMfs:5:tQcg8HDDro4/nsP/1OIOBn77QSv38ubG62DzytjtkiVkZWZnaGlqa2xtbm8HZD"
    "Pekig/eoRJXOqZ5rtqV1tIkePtaFNcqTygg/iExgP5cZvFATTgRsJGU/+fEVc=";

std::string KeyText(const ClusterKeyRef& key) { return EncodeBase64(key->secret().view()); }

std::string Base64Of(std::string_view bytes) {
  return EncodeBase64({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

// Bytes 0, 1, 2, … : as many as asked for, none of the weak patterns.
std::string Counting(size_t n) {
  std::string bytes;
  for (size_t i = 0; i < n; ++i) bytes += static_cast<char>(i);
  return Base64Of(bytes);
}

KekRef KekFrom(uint8_t from) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < Kek::kKeyBytes; ++i) bytes.push_back(static_cast<uint8_t>(from + i));
  return *Kek::Create(SecretBytes(bytes), /*allow_weak=*/true);
}

// Of a node that wraps under the KEK of bytes `from`, `from` + 1, …
KeyPolicy WithKek(uint8_t from, std::vector<KekRef> others = {}) {
  KeyPolicy policy;
  policy.keks = *KekRing::Create(KekFrom(from), std::move(others));
  return policy;
}

std::string Wrapped(const char* plain, const std::string& cluster, uint64_t generation,
                    uint8_t kek = 64) {
  const SecretBytes bytes = *DecodeKeyBase64(plain);
  return *WrapKey(**ClusterKey::Create(bytes.Clone(), cluster, generation), *KekFrom(kek));
}

class ClusterKeyTest : public testing::Test {
 protected:
  ClusterKeyTest() : raw_(dir_.File("s.db")) {
    raw_.Run("CREATE TABLE Systems (Name VARCHAR(64) PRIMARY KEY, Value VARCHAR(1024))");
    auto opened = OpenSystemsTable("sqlite:" + dir_.File("s.db"));
    SOTTO_CHECK(opened.ok());
    table_ = *std::move(opened);
  }

  absl::StatusOr<StoredKey> LoadValue(const std::string& value, const KeyPolicy& policy = {}) {
    raw_.SetRow("ClusterEncryptionKey", value);
    return LoadClusterKey(*table_, kCluster, policy);
  }

  TempDir dir_;
  RawSqlite raw_;
  std::unique_ptr<SystemsTable> table_;
};

// ---- the table of plain keys: each value gives exactly this -------------------------------------

struct BadValue {
  const char* name;
  std::string value;
  const char* code;
  const char* hint = "";
};

std::vector<BadValue> BadValues() {
  using namespace std::string_literals;
  const std::string good = kGood16;
  return {
      {"hex of 16 bytes", "00112233445566778899aabbccddeeff", "KEY_LOOKS_HEX"},
      {"no padding", "AAECAwQFBgcICQoLDA0ODw", "KEY_BAD_BASE64"},
      {"one of two pads", "AAECAwQFBgcICQoLDA0ODw=", "KEY_BAD_BASE64"},
      {"three pads", "AAECAwQFBgcICQoLDA0ODw===", "KEY_BAD_BASE64"},
      {"trailing newline", good + "\n", "KEY_BAD_BASE64"},
      {"trailing CRLF", good + "\r\n", "KEY_BAD_BASE64"},
      {"leading space", " " + good, "KEY_BAD_BASE64"},
      {"inner space", "AAECAwQF BgcICQoLDA0ODw==", "KEY_BAD_BASE64"},
      {"inner newline", "AAECAwQF\nBgcICQoLDA0ODw==", "KEY_BAD_BASE64"},
      {"dots for pads", "AAECAwQFBgcICQoLDA0ODw..", "KEY_BAD_BASE64"},
      {"stray bits", "AAECAwQFBgcICQoLDA0ODx==", "KEY_BAD_BASE64"},
      {"URL-safe alphabet", "_-ECAwQFBgcICQoLDA0ODw==", "KEY_BAD_BASE64", "URL-safe alphabet"},
      {"padding then data", "AAECAwQFBgcICQoLDA0ODw==AAAA", "KEY_BAD_BASE64"},
      {"NUL inside", "AAECAwQFBgcI\0CQoLDA0ODw=="s, "KEY_BAD_BASE64"},
      {"byte order mark", "\xef\xbb\xbf" + good, "KEY_BAD_BASE64"},
      {"non-ASCII", "AAECAwQFBgcICQoLDA0ÖDw==", "KEY_BAD_BASE64"},
      {"empty", "", "KEY_EMPTY"},
      {"1 byte", Counting(1), "KEY_BAD_LENGTH", "got 1 "},
      {"15 bytes", Counting(15), "KEY_BAD_LENGTH", "got 15 "},
      {"17 bytes", Counting(17), "KEY_BAD_LENGTH", "got 17 "},
      {"31 bytes", Counting(31), "KEY_BAD_LENGTH", "got 31 "},
      {"33 bytes", Counting(33), "KEY_BAD_LENGTH", "got 33 "},
      {"64 bytes", Counting(64), "KEY_BAD_LENGTH", "got 64 "},
      {"64 hex digits", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
       "KEY_BAD_LENGTH", "looks like hex"},
      {"16 equal bytes", Base64Of(std::string(16, 'x')), "KEY_WEAK"},
      {"16 zeros", Base64Of(std::string(16, '\0')), "KEY_WEAK"},
      {"a password", Base64Of("passwordpassword"), "KEY_WEAK"},
      {"1025 characters", std::string(1025, 'A'), "KEY_TOO_LONG"},
      {"wrapped, and no KEK here", kWrapped, "KEK_MISSING", "LSfGgNInMfs"},
      {"wrapped, and cut", std::string(kWrapped).substr(0, 40), "KEY_BAD_BASE64"},
      {"wrapped, and cut to four's end", std::string(kWrapped).substr(0, 42), "KEY_CORRUPT"},
      {"wrapped, an id too short", "sottok1:AAAAAAAA:1:AAAA", "KEY_CORRUPT"},
      {"wrapped in a later form", "sottok2:x", "KEY_UNSUPPORTED_VERSION"},
  };
}

TEST_F(ClusterKeyTest, EveryBadValueHasItsCode) {
  for (const BadValue& row : BadValues()) {
    const auto key = LoadValue(row.value);
    EXPECT_THAT(key, HasCode(row.code)) << row.name;
    EXPECT_NE(key.status().message().find(row.hint), absl::string_view::npos)
        << row.name << ": " << key.status();
    if (row.value.size() >= 8) {
      EXPECT_EQ(key.status().message().find(row.value), absl::string_view::npos)
          << row.name << ": the message holds the value";
    }
    // Never does a bad value lead to a fresh key.
    EXPECT_THAT(LoadOrCreateClusterKey(*table_, kCluster, {.may_create = true}), HasCode(row.code))
        << row.name;
    EXPECT_EQ(raw_.Run("SELECT count(*) FROM Systems"), "1");
  }
}

TEST_F(ClusterKeyTest, EveryGoodLengthHasItsAlgorithm) {
  struct {
    const char* value;
    AeadAlgorithm algorithm;
  } const rows[] = {{kGood16, AeadAlgorithm::kAes128Gcm},
                    {kGood24, AeadAlgorithm::kAes192Gcm},
                    {kGood32, AeadAlgorithm::kAes256Gcm}};
  for (const auto& row : rows) {
    const auto stored = LoadValue(row.value);
    SOTTO_ASSERT_OK(stored);
    EXPECT_EQ(stored->key->algorithm(), row.algorithm);
    EXPECT_EQ(stored->key->cluster(), kCluster);
    EXPECT_EQ(stored->key->generation(), 1u);
    EXPECT_EQ(KeyText(stored->key), row.value);
    EXPECT_EQ(stored->row, "ClusterEncryptionKey");
    EXPECT_FALSE(stored->created);
  }
}

TEST_F(ClusterKeyTest, ThePolicyLetsTwoThingsPass) {
  SOTTO_EXPECT_OK(LoadValue(Base64Of("passwordpassword"), {.allow_weak = true}));
  SOTTO_EXPECT_OK(LoadValue("00112233445566778899aabbccddeeff", {.allow_hex_looking = true}));
}

TEST_F(ClusterKeyTest, OddRowsHaveTheirCodes) {
  raw_.Run("DROP TABLE Systems");
  raw_.Run("CREATE TABLE Systems (Name, Value)");
  raw_.Run("INSERT INTO Systems VALUES ('ClusterEncryptionKey', 5)");
  EXPECT_THAT(LoadClusterKey(*table_, kCluster, {}), HasCode("KEY_ROW_TYPE"));
  raw_.Run("UPDATE Systems SET Value = NULL");
  EXPECT_THAT(LoadClusterKey(*table_, kCluster, {}), HasCode("KEY_ROW_TYPE"));
  raw_.Run("UPDATE Systems SET Value = 'AAECAwQFBgcICQoLDA0ODw=='");
  raw_.Run("INSERT INTO Systems SELECT * FROM Systems");
  EXPECT_THAT(LoadClusterKey(*table_, kCluster, {}), HasCode("KEY_ROW_DUPLICATE"));
}

TEST_F(ClusterKeyTest, FilesMayEndInOneNewline) {
  SOTTO_EXPECT_OK(ParseClusterKeyText(std::string(kGood16) + "\n", kCluster, {}));
  SOTTO_EXPECT_OK(ParseClusterKeyText(kGood16, kCluster, {}));
  EXPECT_THAT(ParseClusterKeyText(std::string(kGood16) + "\n\n", kCluster, {}),
              HasCode("KEY_BAD_BASE64"));
  EXPECT_THAT(ParseClusterKeyText(std::string(kGood16) + "\r\n", kCluster, {}),
              HasCode("KEY_BAD_BASE64"));
  EXPECT_THAT(ParseClusterKeyText("\n", kCluster, {}), HasCode("KEY_EMPTY"));
}

TEST_F(ClusterKeyTest, TheRowOfTheClusterWins) {
  raw_.SetRow("ClusterEncryptionKey", kGood16);
  raw_.SetRow("ClusterEncryptionKey:edge", kGood32);
  const auto own = LoadClusterKey(*table_, "edge", {});
  SOTTO_ASSERT_OK(own);
  EXPECT_EQ(own->row, "ClusterEncryptionKey:edge");
  EXPECT_EQ(KeyText(own->key), kGood32);
  const auto other = LoadClusterKey(*table_, "other", {});
  SOTTO_ASSERT_OK(other);
  EXPECT_EQ(KeyText(other->key), kGood16);
  // A bad own row is told, not passed over.
  raw_.SetRow("ClusterEncryptionKey:edge", "");
  EXPECT_THAT(LoadClusterKey(*table_, "edge", {}), HasCode("KEY_EMPTY"));
}

TEST_F(ClusterKeyTest, TheLongestClusterNameFitsARow) {
  EXPECT_LE(ClusterKeyRowOf(std::string(40, 'c')).size(), SystemsTable::kNameBytesMax);
}

// ---- a missing row ------------------------------------------------------------------------------

TEST_F(ClusterKeyTest, AMissingRowIsToldWithTheLineThatHelps) {
  const auto key = LoadOrCreateClusterKey(*table_, kCluster, {});
  EXPECT_THAT(key, HasCode("KEY_MISSING"));
  EXPECT_NE(key.status().message().find("sotto keys import --from FILE"), absl::string_view::npos);
  EXPECT_EQ(raw_.Run("SELECT count(*) FROM Systems"), "0");
}

TEST_F(ClusterKeyTest, AMissingRowIsMadeOnceWhereAllowed) {
  const auto first = LoadOrCreateClusterKey(*table_, kCluster, {.may_create = true});
  SOTTO_ASSERT_OK(first);
  EXPECT_TRUE(first->created);
  EXPECT_EQ(first->key->size(), 32u);
  EXPECT_EQ(raw_.Run("SELECT Value FROM Systems WHERE Name = 'ClusterEncryptionKey'"),
            KeyText(first->key));
  const auto second = LoadOrCreateClusterKey(*table_, kCluster, {.may_create = true});
  SOTTO_ASSERT_OK(second);
  EXPECT_FALSE(second->created);
  EXPECT_TRUE(second->key->secret() == first->key->secret());
}

// Many processes start at the same instant on one missing file: one key, and one that says it made
// it.
TEST(ClusterKeyRace, ManyProcessesEndWithOneKey) {
  constexpr int kRounds = 25, kProcesses = 6;
  for (int round = 0; round < kRounds; ++round) {
    const TempDir dir;
    std::array<int, 2> gate{}, answers{};
    ASSERT_EQ(pipe(gate.data()), 0);
    ASSERT_EQ(pipe(answers.data()), 0);
    std::vector<pid_t> children;
    for (int i = 0; i < kProcesses; ++i) {
      const pid_t child = fork();
      ASSERT_GE(child, 0);
      if (child == 0) {
        close(gate[1]);
        char go = 0;
        if (read(gate[0], &go, 1) != 0) _exit(2);  // the end of the pipe is the start for all
        const auto table = OpenSystemsTable("sqlite:" + dir.File("s.db"),
                                            {.create = true, .deadline = std::chrono::seconds(30)});
        if (!table.ok()) _exit(3);
        const auto stored = LoadOrCreateClusterKey(**table, kCluster, {.may_create = true});
        if (!stored.ok()) _exit(4);
        const std::string line = ToString(stored->key->id()) + (stored->created ? "+" : "-") + "\n";
        _exit(write(answers[1], line.data(), line.size()) == static_cast<ssize_t>(line.size()) ? 0
                                                                                               : 5);
      }
      children.push_back(child);
    }
    close(gate[0]);
    close(gate[1]);
    close(answers[1]);
    for (const pid_t child : children) {
      int status = 0;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0) << "round " << round;
    }
    std::string text;
    std::array<char, 1024> chunk{};
    for (ssize_t n = 0; (n = read(answers[0], chunk.data(), chunk.size())) > 0;) {
      text.append(chunk.data(), static_cast<size_t>(n));
    }
    close(answers[0]);
    std::set<std::string> ids;
    int makers = 0;
    for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
      ids.insert(text.substr(at, 9));
      makers += text[at + 9] == '+' ? 1 : 0;
    }
    EXPECT_EQ(text.size(), 11u * kProcesses) << text;
    EXPECT_EQ(ids.size(), 1u) << text;
    EXPECT_EQ(makers, 1) << text;
  }
}

// ---- wrapped values -----------------------------------------------------------------------------

TEST_F(ClusterKeyTest, EveryWrappedRowHasItsCode) {
  std::string flipped = kWrapped;
  flipped[flipped.size() - 8] = flipped[flipped.size() - 8] == 'A' ? 'B' : 'A';
  std::string renamed = Wrapped(kGood32, kCluster, 5, 65);
  renamed.replace(8, kKekIdChars, ToString(KekFrom(64)->id()));
  KeyPolicy seen = WithKek(64);
  seen.generation_seen = 6;
  KeyPolicy seen_this = WithKek(64);
  seen_this.generation_seen = 5;
  const struct {
    const char* name;
    std::string value;
    KeyPolicy policy;
    const char* code;
  } kRows[] = {
      {"the KEK is right", kWrapped, WithKek(64), "OK"},
      {"the KEK is one that no longer wraps", kWrapped, WithKek(1, {KekFrom(64)}), "OK"},
      {"no KEK", kWrapped, {}, "KEK_MISSING"},
      {"another KEK", kWrapped, WithKek(65), "KEK_MISSING"},
      {"another KEK under this one's id", renamed, WithKek(64), "KEK_MISMATCH"},
      {"one bit flipped", flipped, WithKek(64), "KEY_CORRUPT"},
      {"of another cluster", Wrapped(kGood32, "edge2", 5), WithKek(64), "KEY_CORRUPT"},
      {"a later form", "sottok2:" + std::string(kWrapped).substr(8), WithKek(64),
       "KEY_UNSUPPORTED_VERSION"},
      {"a trailing newline", std::string(kWrapped) + "\n", WithKek(64), "KEY_BAD_BASE64"},
      {"a lower generation than seen", kWrapped, seen, "KEY_ROLLBACK"},
      {"the generation seen", kWrapped, seen_this, "OK"},
      {"a plain key", kGood32, WithKek(64), "KEY_PLAIN_REFUSED"},
      {"an empty value", "", WithKek(64), "KEY_EMPTY"},
      {"no key at all", "rubbish", WithKek(64), "KEY_BAD_BASE64"},
      {"a plain weak key", Base64Of("passwordpassword"), WithKek(64), "KEY_WEAK"},
  };
  for (const auto& row : kRows) {
    const auto stored = LoadValue(row.value, row.policy);
    if (std::string_view(row.code) == "OK") {
      SOTTO_ASSERT_OK(stored);
      EXPECT_EQ(KeyText(stored->key), kGood32) << row.name;
      EXPECT_EQ(stored->key->generation(), 5u) << row.name;
      EXPECT_EQ(stored->kek, KekFrom(64)->id()) << row.name;
      continue;
    }
    EXPECT_THAT(stored, HasCode(row.code)) << row.name;
    const std::string message(stored.status().message());
    EXPECT_EQ(message.find(std::string(kGood32).substr(0, 12)), std::string::npos) << row.name;
    EXPECT_EQ(message.find(std::string(kWrapped).substr(30, 12)), std::string::npos) << row.name;
    // Never does a bad value lead to a fresh key.
    KeyPolicy may_create = row.policy;
    may_create.may_create = true;
    EXPECT_THAT(LoadOrCreateClusterKey(*table_, kCluster, may_create), HasCode(row.code));
    EXPECT_EQ(raw_.Run("SELECT count(*) FROM Systems"), "1");
  }
}

// The row's name in the table is not part of what is bound: a value mirrored from one table's row
// into another's opens, and one of another cluster does not.
TEST_F(ClusterKeyTest, AWrappedValueOpensInEitherRowOfItsCluster) {
  raw_.SetRow("ClusterEncryptionKey:edge", kWrapped);
  const auto own = LoadClusterKey(*table_, kCluster, WithKek(64));
  SOTTO_ASSERT_OK(own);
  EXPECT_EQ(own->row, "ClusterEncryptionKey:edge");
  EXPECT_EQ(KeyText(own->key), kGood32);
  raw_.SetRow("ClusterEncryptionKey:other", kWrapped);
  EXPECT_THAT(LoadClusterKey(*table_, "other", WithKek(64)), HasCode("KEY_CORRUPT"));
}

TEST_F(ClusterKeyTest, APlainValuePassesOnlyWhereItIsAccepted) {
  KeyPolicy accepts = WithKek(64);
  accepts.accept_plain = true;
  accepts.generation_seen = 9;
  const auto stored = LoadValue(kGood32, accepts);
  SOTTO_ASSERT_OK(stored);
  EXPECT_FALSE(stored->kek.has_value());
  EXPECT_EQ(stored->key->generation(), 1u);
  EXPECT_FALSE(LoadValue(kGood32)->kek.has_value());
}

TEST_F(ClusterKeyTest, AMintedKeyIsWrappedWhereThereIsAKek) {
  KeyPolicy policy = WithKek(64);
  policy.may_create = true;
  const auto first = LoadOrCreateClusterKey(*table_, kCluster, policy);
  SOTTO_ASSERT_OK(first);
  EXPECT_TRUE(first->created);
  EXPECT_EQ(first->kek, KekFrom(64)->id());
  const std::string row = raw_.Run("SELECT Value FROM Systems");
  EXPECT_TRUE(IsWrappedKey(row));
  EXPECT_EQ(row.find(KeyText(first->key)), std::string::npos);
  const auto second = LoadOrCreateClusterKey(*table_, kCluster, policy);
  SOTTO_ASSERT_OK(second);
  EXPECT_FALSE(second->created);
  EXPECT_TRUE(second->key->secret() == first->key->secret());
  EXPECT_EQ(raw_.Run("SELECT Value FROM Systems"), row);
}

TEST_F(ClusterKeyTest, ImportWrapsAndKeepsTheGeneration) {
  const KeyPolicy policy = WithKek(64);
  // A plain row from before the KEK: the same key from its file wraps it in place.
  raw_.SetRow("ClusterEncryptionKey", kGood32);
  const ClusterKeyRef key = *ParseClusterKeyText(kGood32, kCluster, policy);
  const auto wrapped = ImportClusterKey(*table_, key, policy, false);
  SOTTO_ASSERT_OK(wrapped);
  EXPECT_TRUE(wrapped->created);
  EXPECT_EQ(KeyText(LoadClusterKey(*table_, kCluster, policy)->key), kGood32);
  // Once more changes nothing.
  const std::string row = raw_.Run("SELECT Value FROM Systems");
  EXPECT_FALSE(ImportClusterKey(*table_, key, policy, false)->created);
  EXPECT_EQ(raw_.Run("SELECT Value FROM Systems"), row);
  // Under another KEK: rewritten, and of the generation that it had.
  raw_.SetRow("ClusterEncryptionKey", kWrapped);
  const KeyPolicy next = WithKek(65, {KekFrom(64)});
  SOTTO_EXPECT_OK(ImportClusterKey(*table_, key, next, false));
  const auto rewrapped = LoadClusterKey(*table_, kCluster, WithKek(65));
  SOTTO_ASSERT_OK(rewrapped);
  EXPECT_EQ(rewrapped->key->generation(), 5u);
  // Another key is the next generation, and not without being told.
  const ClusterKeyRef other = *ParseClusterKeyText(kGood16, kCluster, next);
  EXPECT_THAT(ImportClusterKey(*table_, other, next, false), HasCode("KEY_EXISTS"));
  SOTTO_EXPECT_OK(ImportClusterKey(*table_, other, next, true));
  EXPECT_EQ(LoadClusterKey(*table_, kCluster, next)->key->generation(), 6u);
  // A file may hold a wrapped key too.
  const auto from_file = ParseClusterKeyText(std::string(kWrapped) + "\n", kCluster, policy);
  SOTTO_ASSERT_OK(from_file);
  EXPECT_EQ((*from_file)->generation(), 5u);
}

// ---- import -------------------------------------------------------------------------------------

TEST_F(ClusterKeyTest, ImportsOnceAndReplacesOnlyWhenTold) {
  const ClusterKeyRef first = *ParseClusterKey(kGood32, kCluster, {});
  const ClusterKeyRef second = *ParseClusterKey(kGood16, kCluster, {});
  const auto imported = ImportClusterKey(*table_, first, {}, false);
  SOTTO_ASSERT_OK(imported);
  EXPECT_TRUE(imported->created);
  const auto again = ImportClusterKey(*table_, first, {}, false);
  SOTTO_ASSERT_OK(again);
  EXPECT_FALSE(again->created);
  const auto refused = ImportClusterKey(*table_, second, {}, false);
  EXPECT_THAT(refused, HasCode("KEY_EXISTS"));
  EXPECT_EQ(refused.status().message().find(kGood32), absl::string_view::npos);
  EXPECT_EQ(KeyText(LoadClusterKey(*table_, kCluster, {})->key), kGood32);
  SOTTO_EXPECT_OK(ImportClusterKey(*table_, second, {}, true));
  EXPECT_EQ(KeyText(LoadClusterKey(*table_, kCluster, {})->key), kGood16);
  EXPECT_EQ(raw_.Run("SELECT count(*) FROM Systems"), "1");
}

TEST_F(ClusterKeyTest, ImportReplacesABadRowOnlyWhenTold) {
  raw_.SetRow("ClusterEncryptionKey:edge", "rubbish");
  const ClusterKeyRef key = *ParseClusterKey(kGood32, kCluster, {});
  EXPECT_THAT(ImportClusterKey(*table_, key, {}, false), HasCode("KEY_EXISTS"));
  const auto imported = ImportClusterKey(*table_, key, {}, true);
  SOTTO_ASSERT_OK(imported);
  EXPECT_EQ(imported->row, "ClusterEncryptionKey:edge");
  EXPECT_EQ(KeyText(LoadClusterKey(*table_, kCluster, {})->key), kGood32);
}

TEST(GenerateKeyText, GivesFreshKeysOfTheThreeLengths) {
  std::set<std::string> texts;
  for (const size_t size : {16, 24, 32}) {
    const auto text = GenerateKeyText(size);
    SOTTO_ASSERT_OK(text);
    const auto key = ParseClusterKey(*text, "c", {});
    SOTTO_ASSERT_OK(key);
    EXPECT_EQ((*key)->size(), size);
    texts.insert(*text);
  }
  EXPECT_THAT(GenerateKeyText(20), HasCode("KEY_BAD_LENGTH"));
  texts.insert(*GenerateKeyText());
  EXPECT_EQ(texts.size(), 4u);
}

TEST(IsOutsideThisMachine, Table) {
  const std::vector<std::string> bind = {"10.9.8.7:7950", "[fd00::7]:7950"};
  for (const char* inside :
       {"127.0.0.1:1", "127.200.0.1:1", "[::1]:7950", "localhost:1", "LOCALHOST:1", "a.localhost:1",
        "10.9.8.7:9999", "[fd00::7]:1", "[::ffff:127.0.0.1]:1"}) {
    EXPECT_FALSE(IsOutsideThisMachine(inside, bind)) << inside;
  }
  for (const char* outside : {"10.9.8.6:7950", "gw-2.internal:7950", "[fd00::8]:7950", "8.8.8.8:1",
                              "128.0.0.1:1", "localhost.example:1"}) {
    EXPECT_TRUE(IsOutsideThisMachine(outside, bind)) << outside;
  }
}

}  // namespace
}  // namespace sotto
