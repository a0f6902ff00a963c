#include "cmd/config/config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "cmd/config/address.h"
#include "cmd/config/schema.h"
#include "gossip/base/coded_error.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace sotto {
namespace {

using testing::ElementsAre;
using testing::Eq;
using testing::HasSubstr;
using testing::Not;

constexpr char kMinimal[] =
    "[node]\ncluster = 'edge'\nname = 'gw-1'\n"
    "[gossip]\nbind = '127.0.0.1:7950'\n"
    "[sync.tls]\nca = 'ca.crt'\ncert = 'node.crt'\nkey = 'node.key'\n";

ConfigResult Load(const std::string& more, const ConfigSources& sources = {}) {
  return LoadConfigText(std::string(kMinimal) + more, "/etc/sotto/sottod.toml", sources);
}

std::vector<std::string> Lines(const ConfigResult& result) {
  std::vector<std::string> lines;
  for (const ConfigFinding& finding : result.findings) lines.push_back(ToString(finding));
  return lines;
}

std::vector<std::string> Codes(const ConfigResult& result) {
  std::vector<std::string> codes;
  for (const ConfigFinding& finding : result.findings) codes.push_back(finding.code);
  return codes;
}

void Write(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
}

// ---- what comes out -----------------------------------------------------------------------------

TEST(LoadConfig, TakesEverySection) {
  const ConfigResult result = LoadConfigText(R"(
[node]
cluster = "edge-prod"
name = "gw-1"
tags = { zone = "fra1-a", role = "gateway" }
state_dir = "state"
[gossip]
bind = ["10.0.3.11", "[fd00::1]:8000"]
advertise = "10.0.3.11:7950"
join = "gw-2.internal"
profile = "wan"
probe_interval = "4.5s"
indirect_probes = 4
datagram_bytes_max = 1400
[encryption]
allow_weak_key = true
allow_hex_looking_key = true
kek = "folder:keks"
kek_active = "2026"
accept_plain_update = true
[store]
url = "sqlite:s.db"
create = true
poll = "30s"
when_down = "refuse"
[sync.tls]
ca = "pki/ca.crt"
cert = "/x/node.crt"
key = "pki/node.key"
crl = "pki/crl.pem"
[admin]
socket = "/run/x.sock"
group = "ops"
[log]
level = "debug"
format = "json"
file = "/var/log/sottod.log"
)",
                                             "/etc/sotto/sottod.toml");
  EXPECT_THAT(Lines(result), ElementsAre());
  const Config& c = result.config;
  EXPECT_EQ(c.node.cluster, "edge-prod");
  EXPECT_EQ(c.node.tags, (std::vector<Tag>{{"role", "gateway"}, {"zone", "fra1-a"}}));
  EXPECT_EQ(c.node.state_dir, "/etc/sotto/state");
  EXPECT_THAT(c.gossip.bind, ElementsAre("10.0.3.11:7950", "[fd00::1]:8000"));
  EXPECT_THAT(c.gossip.advertise, ElementsAre("10.0.3.11:7950"));
  EXPECT_THAT(c.gossip.join, ElementsAre("gw-2.internal:7950"));
  EXPECT_EQ(c.gossip.protocol.probe_interval, Duration::Millis(4500));
  EXPECT_EQ(c.gossip.protocol.probe_timeout, ProtocolOptions::Wan().probe_timeout);
  EXPECT_EQ(c.gossip.protocol.indirect_probes, 4);
  EXPECT_EQ(c.gossip.protocol.packet_bytes_max, 1400u - 37);
  EXPECT_TRUE(c.encryption.allow_weak_key && c.encryption.allow_hex_looking_key);
  EXPECT_EQ(c.encryption.kek, "folder:/etc/sotto/keks");
  EXPECT_EQ(c.encryption.kek_active, "2026");
  EXPECT_TRUE(c.encryption.accept_plain_update);
  EXPECT_EQ(c.store.when_down, "refuse");
  EXPECT_EQ(c.store.url, "sqlite:/etc/sotto/s.db");
  EXPECT_TRUE(c.store.create);
  EXPECT_EQ(c.store.poll, Duration::Seconds(30));
  EXPECT_EQ(c.tls.ca, "/etc/sotto/pki/ca.crt");
  EXPECT_EQ(c.tls.cert, "/x/node.crt");
  EXPECT_EQ(c.tls.crl, "/etc/sotto/pki/crl.pem");
  EXPECT_EQ(c.admin.socket, "/run/x.sock");
  EXPECT_EQ(c.admin.group, "ops");
  EXPECT_EQ(c.log.level, LogLevel::kDebug);
  EXPECT_EQ(c.log.format, LogFormat::kJson);
  EXPECT_EQ(c.log.file, "/var/log/sottod.log");
}

TEST(LoadConfig, DiscoveryIsForDatabasesThatHostsShare) {
  const auto enabled = [](const std::string& text) {
    const ConfigResult result = Load(text);
    EXPECT_THAT(Lines(result), ElementsAre()) << text;
    return result.config.discovery.enabled;
  };
  EXPECT_FALSE(enabled(""));
  EXPECT_FALSE(enabled("[store]\nurl = \"sqlite:s.db\"\n"));
  EXPECT_TRUE(enabled("[store]\nurl = \"postgres://sotto@db/sotto\"\n"));
  EXPECT_TRUE(enabled("[store]\nurl = \"mysql://sotto@db/sotto\"\n"));
  EXPECT_FALSE(
      enabled("[store]\nurl = \"mysql://sotto@db/sotto\"\n[discovery]\nenabled = false\n"));
}

TEST(LoadConfig, FillsInDefaults) {
  const ConfigResult result = Load("");
  EXPECT_THAT(Lines(result), ElementsAre());
  EXPECT_EQ(result.config.gossip.profile, "lan");
  EXPECT_EQ(result.config.gossip.protocol.probe_interval, ProtocolOptions::Lan().probe_interval);
  EXPECT_EQ(result.config.store.url, "sqlite:" + result.config.node.state_dir + "/sotto.db");
  EXPECT_EQ(result.config.store.poll, Duration::Seconds(10));
  EXPECT_FALSE(result.config.store.create);
  EXPECT_EQ(result.config.admin.socket, DefaultSocketPath());
  EXPECT_EQ(result.config.log.level, LogLevel::kInfo);
  EXPECT_EQ(result.OriginOf("log.level"), "default");
  EXPECT_EQ(result.OriginOf("gossip.probe_interval"), "profile lan");
  EXPECT_EQ(result.OriginOf("node.cluster"), "/etc/sotto/sottod.toml:2:11");
  ASSERT_EQ(result.values.size(), ConfigSchema().size() + 1);
  EXPECT_EQ(result.values.back().key, "handler");
  EXPECT_EQ(result.values.back().value, "[]");
}

TEST(LoadConfig, EachProfileSetsItsTimers) {
  EXPECT_EQ(
      LoadConfigText("[gossip]\nprofile = 'local'\n", "x").config.gossip.protocol.probe_interval,
      ProtocolOptions::Local().probe_interval);
  EXPECT_EQ(
      LoadConfigText("[gossip]\nprofile = 'wan'\n", "x").config.gossip.protocol.probe_interval,
      ProtocolOptions::Wan().probe_interval);
}

TEST(LoadConfig, LayersWinInOrder) {
  const TempDir dir;
  const std::string path = dir.File("sottod.toml");
  Write(path, std::string(kMinimal) +
                  "[log]\nlevel = 'debug'\nfile = 'a'\nformat = 'text'\n"
                  "[admin]\ngroup = 'file'\n");
  ASSERT_EQ(mkdir(dir.File("conf.d").c_str(), 0755), 0);
  Write(dir.File("conf.d/10-a.toml"), "[log]\nlevel = 'info'\nfile = 'b'\n");
  Write(dir.File("conf.d/20-b.toml"), "[log]\nlevel = 'warn'\n");
  Write(dir.File("conf.d/30-c.txt"), "not read");
  ConfigSources sources;
  sources.path = path;
  EXPECT_EQ(LoadConfig(sources).config.log.level, LogLevel::kWarn);
  sources.env = {{"SOTTO_LOG__LEVEL", "error"}, {"SOTTO_GOSSIP__JOIN", "a:1, b:2"}};
  EXPECT_EQ(LoadConfig(sources).config.log.level, LogLevel::kError);
  SOTTO_ASSERT_OK(ParseOverride("log.level=debug", &sources));
  SOTTO_ASSERT_OK(ParseOverride("node.tags=a=1,b=x=y", &sources));
  const ConfigResult result = LoadConfig(sources);
  EXPECT_THAT(Lines(result), ElementsAre());
  EXPECT_EQ(result.config.log.level, LogLevel::kDebug);
  EXPECT_EQ(result.OriginOf("log.level"), "--set log.level");
  EXPECT_EQ(result.config.log.file, dir.File("conf.d/b"));
  EXPECT_EQ(result.OriginOf("log.file"), dir.File("conf.d/10-a.toml") + ":3:8");
  EXPECT_EQ(result.config.log.format, LogFormat::kText);
  EXPECT_THAT(result.config.gossip.join, ElementsAre("a:1", "b:2"));
  EXPECT_EQ(result.OriginOf("gossip.join"), "SOTTO_GOSSIP__JOIN");
  EXPECT_EQ(result.config.node.tags, (std::vector<Tag>{{"a", "1"}, {"b", "x=y"}}));
  EXPECT_EQ(result.files.size(), 3u);
}

// Two sources at once are an error, although a later layer wins elsewhere.
TEST(LoadConfig, TakesOneSourceOfTheKekOnly) {
  const std::string text = std::string(kMinimal) + "[encryption]\nkek = 'file:/a'\n";
  ConfigSources sources;
  sources.env = {{"SOTTO_ENCRYPTION__KEK", "env:B"}};
  const ConfigResult two = LoadConfigText(text, "f.toml", sources);
  EXPECT_THAT(Codes(two), testing::ElementsAre("KEK_TWO_SOURCES"));
  EXPECT_THAT(Lines(two)[0], HasSubstr("SOTTO_ENCRYPTION__KEK: encryption.kek"));
  EXPECT_THAT(Lines(two)[0], HasSubstr("f.toml:"));
  sources.env = {{"SOTTO_ENCRYPTION__KEK", "file:/a"}};
  EXPECT_THAT(Lines(LoadConfigText(text, "f.toml", sources)), ElementsAre());
}

TEST(LoadConfig, NeverShowsWhatMayBeAKek) {
  const std::string key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
  const ConfigResult result =
      LoadConfigText(std::string(kMinimal) + "[encryption]\nkek = '" + key + "'\n", "f.toml");
  EXPECT_THAT(Codes(result), testing::ElementsAre("KEK_SOURCE_INVALID"));
  EXPECT_THAT(std::string(result.status().message()), Not(HasSubstr("AAECAwQF")));
  for (const ConfigValue& value : result.values) {
    EXPECT_THAT(value.value, Not(HasSubstr("AAECAwQF"))) << value.key;
  }
}

TEST(SottoEnvironment, HoldsSettingsAndNoOtherVariable) {
  ASSERT_EQ(setenv("SOTTO_LOG__LEVEL", "debug", 1), 0);
  ASSERT_EQ(setenv("SOTTO_KEK", "a secret", 1), 0);
  const Environment env = SottoEnvironment();
  EXPECT_EQ(env.count("SOTTO_LOG__LEVEL"), 1u);
  EXPECT_EQ(env.count("SOTTO_KEK"), 0u);
  ASSERT_EQ(unsetenv("SOTTO_LOG__LEVEL"), 0);
  ASSERT_EQ(unsetenv("SOTTO_KEK"), 0);
}

TEST(LoadConfig, NeedsTheFileThatIsNamed) {
  const TempDir dir;
  EXPECT_THAT(Codes(LoadConfig({.path = dir.File("none.toml")})),
              testing::ElementsAre("FILE_MISSING"));
  Write(dir.File("open.toml"), kMinimal);
  ASSERT_EQ(chmod(dir.File("open.toml").c_str(), 0666), 0);
  EXPECT_THAT(Codes(LoadConfig({.path = dir.File("open.toml")})),
              testing::Contains("FILE_WRITABLE"));
}

// ---- what is refused ----------------------------------------------------------------------------

TEST(LoadConfig, TellsEveryErrorAtOnceWithItsPlace) {
  const ConfigResult result = LoadConfigText(
      "[encription]\n"
      "allow_weak_key = true\n"
      "[node]\n"
      "cluster = 5\n"
      "nmae = 'x'\n"
      "[gossip]\n"
      "bind = ['127.0.0.1:7950', 7]\n"
      "probe_interval = 500\n"
      "profile = 'lann'\n"
      "probe_timeout = '1ns'\n"
      "gossip_interval = '3 lightyears'\n"
      "[log]\n"
      "cluster = 'x'\n"
      "[sync]\n"
      "tls = 'x'\n",
      "f.toml");
  EXPECT_THAT(
      Lines(result),
      ElementsAre(
          "f.toml:1:2: unknown key \"encription\"; did you mean \"encryption\"?",
          "f.toml:4:11: node.cluster is a whole number, want a text",
          "f.toml:5:1: unknown key \"node.nmae\"; did you mean \"node.name\"?",
          "f.toml:7:8: gossip.bind is a list, want a text or a list of texts",
          "f.toml:8:18: gossip.probe_interval is a whole number, want a duration in quotes, such "
          "as \"500ms\" or \"10s\"",
          "f.toml:9:11: gossip.profile: \"lann\" is none of local, lan, wan",
          "f.toml:10:17: gossip.probe_timeout: 1ns is outside 1ms to 1h",
          "f.toml:11:19: gossip.gossip_interval: want a duration such as \"500ms\", \"10s\", "
          "\"7d\"",
          "f.toml:13:1: unknown key \"log.cluster\"; did you mean \"node.cluster\"?",
          "f.toml:15:7: sync.tls is a text, want a section: [sync.tls]",
          "configuration: sync.tls.ca is not set: certificates of the cluster's CA, PEM",
          "configuration: sync.tls.cert is not set: this node's certificate, PEM",
          "configuration: sync.tls.key is not set: its private key, PEM, mode 0600"));
  EXPECT_FALSE(result.ok());
  EXPECT_THAT(result.status(), HasCode("CONFIG_INVALID"));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("f.toml:15:7"));
}

// Each key of the schema, misspelt in three ways, is refused and the right one is named.
TEST(LoadConfig, GuessesEveryMisspeltKey) {
  for (const KeySpec& spec : ConfigSchema()) {
    const std::string key(spec.key);
    const size_t dot = key.rfind('.');
    const std::string section = key.substr(0, dot), leaf = key.substr(dot + 1);
    std::string swapped = leaf;
    if (swapped.size() > 2) std::swap(swapped[1], swapped[2]);
    for (const std::string& wrong :
         {leaf + leaf.back(), swapped == leaf ? leaf + "_" : swapped, leaf + "x"}) {
      const std::string text = "[" + section + "]\n" + wrong + " = 1\n";
      const ConfigResult result = LoadConfigText(text, "f");
      ASSERT_FALSE(result.findings.empty());
      EXPECT_EQ(ToString(result.findings[0]), "f:2:1: unknown key \"" + section + "." + wrong +
                                                  "\"; did you mean \"" + key + "\"?");
      ConfigSources sources;
      sources.env[EnvironmentName(section + "." + wrong)] = "1";
      const ConfigResult of_env = LoadConfigText("", "f", sources);
      EXPECT_THAT(ToString(of_env.findings[0]), HasSubstr(EnvironmentName(key) + "\"?"));
    }
  }
}

// Each key, given a value of the wrong type, is refused in its own words; and each finds its way
// from the environment and back out as TOML.
TEST(LoadConfig, KnowsTheTypeOfEveryKey) {
  for (const KeySpec& spec : ConfigSchema()) {
    const std::string key(spec.key);
    const size_t dot = key.rfind('.');
    const std::string text =
        "[" + key.substr(0, dot) + "]\n" + key.substr(dot + 1) + " = 1979-05-27\n";
    const ConfigResult result = LoadConfigText(text, "f");
    ASSERT_FALSE(result.findings.empty()) << key;
    EXPECT_EQ(result.findings[0].code, "CONFIG_WRONG_TYPE") << key;
    EXPECT_THAT(result.findings[0].message, testing::StartsWith(key + " is a date")) << key;
  }
}

TEST(LoadConfig, EveryValueSurvivesItsOwnToml) {
  const ConfigResult first = Load("[node.tags]\nrole = 'a \"b\" \\\\ c'\n");
  ASSERT_TRUE(first.ok()) << first.status();
  std::string text;
  for (const ConfigValue& value : first.values) {
    // Dotted keys at the top: the table whole, in one section.
    text += value.key + " = " + value.value + "\n";
  }
  // Optional lists and texts that are empty stay so.
  const ConfigResult second = LoadConfigText(text, "f");
  EXPECT_THAT(Lines(second), ElementsAre());
  ASSERT_EQ(first.values.size(), second.values.size());
  for (size_t i = 0; i < first.values.size(); ++i) {
    EXPECT_EQ(first.values[i].value, second.values[i].value) << first.values[i].key;
  }
  EXPECT_THAT(ConfigDiff(first, second), ElementsAre());
}

struct Bad {
  const char* name;
  const char* text;
  const char* code;
  const char* says;
};

void ExpectRefused(const Bad& row) {
  const ConfigResult result = LoadConfigText(row.text, "f.toml");
  const auto found = std::find_if(
      result.findings.begin(), result.findings.end(), [&](const ConfigFinding& finding) {
        return finding.code == row.code && finding.message.find(row.says) != std::string::npos;
      });
  EXPECT_NE(found, result.findings.end()) << row.name << " gave:\n" << result.status().message();
  for (const std::string& line : Lines(result)) {
    EXPECT_EQ(line.find("pw"), std::string::npos) << "a password in: " << line;
  }
}

TEST(LoadConfig, AFileThatIsNoTomlIsTheOnlyError) {
  EXPECT_THAT(Codes(LoadConfigText("[node\n", "/etc/sotto/sottod.toml")),
              testing::ElementsAre("CONFIG_SYNTAX"));
}

TEST(LoadConfig, RefusesWhatMakesNoSense) {
  const std::string long_name(129, 'n'), long_cluster(41, 'c');
  const std::string too_long = "[node]\ncluster='c'\nname='" + long_name + "'\n";
  const std::string cluster_too_long = "[node]\nname='n'\ncluster='" + long_cluster + "'\n";
  std::string too_many = "[gossip]\njoin=['m0:1'";
  for (int i = 1; i <= 64; ++i) too_many += ",'m" + std::to_string(i) + ":1'";
  too_many += "]\n";
  const std::string long_socket = "[admin]\nsocket = '/" + std::string(107, 's') + "'\n";
  const std::string long_tags = "[node.tags]\na = '" + std::string(511, 'x') + "'\nb = 'x'\n";
  const Bad rows[] = {
      {"syntax", "[node\n", "CONFIG_SYNTAX", "no TOML"},
      {"twice", "[node]\nname='a'\nname='b'\n", "CONFIG_SYNTAX", "no TOML"},
      {"empty name", "[node]\nname=''\n", "MEMBER_NAME_INVALID", "node.name"},
      {"long name", too_long.c_str(), "MEMBER_NAME_INVALID", "128"},
      {"name with a slash", "[node]\nname='a/b'\n", "MEMBER_NAME_INVALID", "node.name"},
      {"name with a control character", "[node]\nname=\"a\\u0007\"\n", "CONFIG_OUT_OF_RANGE",
       "control character"},
      {"long cluster", cluster_too_long.c_str(), "CLUSTER_NAME_INVALID", "40"},
      {"bind without address", "[gossip]\nbind=':7950'\n", "ADDRESS_INVALID", "no host"},
      {"bind by name", "[gossip]\nbind='localhost:7950'\n", "ADDRESS_INVALID", "IP address"},
      {"bind twice", "[gossip]\nbind=['127.0.0.1:1','127.0.0.1:1']\n", "CONFIG_CONTRADICTION",
       "twice"},
      {"port out of range", "[gossip]\nbind='127.0.0.1:65536'\n", "ADDRESS_INVALID", "65535"},
      {"IPv6 without brackets", "[gossip]\njoin='fd00::1:7950'\n", "ADDRESS_INVALID", "brackets"},
      {"too many contacts", too_many.c_str(), "CONFIG_OUT_OF_RANGE",
       "65 addresses, want at most 64"},
      {"join port 0", "[gossip]\njoin='gw-2:0'\n", "ADDRESS_INVALID", "port 0"},
      {"bad IPv4", "[gossip]\njoin='300.1.1.1:1'\n", "ADDRESS_INVALID", "IPv4"},
      {"no addresses", "[gossip]\nbind=[]\n", "CONFIG_MISSING", "gossip.bind"},
      {"too many addresses",
       "[gossip]\nbind=['127.0.0.1:1','127.0.0.1:2','127.0.0.1:3','127.0.0.1:4','127.0.0.1:5']\n",
       "CONFIG_OUT_OF_RANGE", "at most 4"},
      {"timeout over interval", "[gossip]\nprobe_interval='1s'\nprobe_timeout='2s'\n",
       "CONFIG_CONTRADICTION", "gossip.probe"},
      {"no store", "[store]\nurl='nonsense'\n", "STORE_URL_INVALID", "store.url"},
      {"socket too long", long_socket.c_str(), "SOCKET_PATH_TOO_LONG", "107"},
      {"tags too long", long_tags.c_str(), "TAGS_INVALID", "512"},
      {"tag key", "[node.tags]\n'a b' = 'x'\n", "TAGS_INVALID", "key"},
      {"tag value", "[node.tags]\na = 1\n", "CONFIG_WRONG_TYPE", "table of texts"},
      {"quoted dot", "'node.name' = 'x'\n", "CONFIG_UNKNOWN_KEY", "node.name"},
      {"datagram too long", "[gossip]\ndatagram_bytes_max = 2049\n", "CONFIG_OUT_OF_RANGE", "2048"},
      {"negative", "[gossip]\nindirect_probes = -1\n", "CONFIG_OUT_OF_RANGE", "-1"},
      {"huge", "[gossip]\nindirect_probes = 9223372036854775807\n", "CONFIG_OUT_OF_RANGE", ""},
      {"array of tables", "[[node]]\nname='x'\n", "CONFIG_WRONG_TYPE", "want a section"},
  };
  for (const Bad& row : rows) ExpectRefused(row);
}

TEST(LoadConfig, RefusesSourcesAndStoresThatCannotBe) {
  const Bad rows[] = {
      {"no source of a KEK", "[encryption]\nkek='vault:x'\n", "KEK_SOURCE_INVALID",
       "encryption.kek"},
      {"two sources in one text", "[encryption]\nkek='file:/a,env:B'\n", "KEK_TWO_SOURCES", "two"},
      {"a name without a folder", "[encryption]\nkek='file:/a'\nkek_active='a'\n",
       "CONFIG_CONTRADICTION", "no folder"},
      {"when_down", "[store]\nwhen_down='maybe'\n", "CONFIG_OUT_OF_RANGE", "cached, refuse"},
      {"a password in the URL", "[store]\nurl='postgres://u:pw@h/d'\n", "STORE_URL_INVALID",
       "store.password_file"},
      {"weak TLS", "[store]\nurl='postgres://u@h/d?sslmode=require'\n", "STORE_URL_INVALID",
       "verify-full"},
      {"a password itself", "[store]\nurl='postgres://u@h/d'\npassword='hunter2'\n",
       "SECRET_SOURCE_INVALID", "env:NAME"},
      {"two passwords",
       "[store]\nurl='postgres://u@h/d'\npassword='env:A'\npassword_file='/etc/x'\n",
       "CONFIG_CONTRADICTION", "one of the two"},
      {"a password for a file", "[store]\nurl='sqlite:/x'\npassword_file='/etc/x'\n",
       "CONFIG_CONTRADICTION", "SQLite"},
  };
  for (const Bad& row : rows) ExpectRefused(row);
}

TEST(LoadConfig, NamesThePlaceOfATimerThatTheProfileContradicts) {
  const ConfigResult result = Load("[log]\n[gossip.x]\n");
  EXPECT_THAT(Codes(result), ElementsAre("CONFIG_UNKNOWN_KEY"));
  const ConfigResult timers =
      LoadConfigText("[gossip]\nprofile = 'wan'\nprobe_interval = '1.5s'\n", "f");
  EXPECT_THAT(Lines(timers),
              testing::Contains(testing::StartsWith("f:3:18: gossip.probe_timeout:")));
}

TEST(LoadConfig, AcceptsTheLimits) {
  EXPECT_TRUE(LoadConfigText(std::string("[node]\ncluster='") + std::string(40, 'c') + "'\nname='" +
                                 std::string(128, 'n') + "'\n[node.tags]\na = '" +
                                 std::string(511, 'x') +
                                 "'\n[gossip]\nbind='[::1]:0'\ndatagram_bytes_max = 2048\n"
                                 "[sync.tls]\nca='a'\ncert='b'\nkey='c'\n"
                                 "[admin]\nsocket='/" +
                                 std::string(106, 's') + "'\n",
                             "f")
                  .ok());
}

TEST(LoadConfig, EnvironmentOfToolsIsNotOurs) {
  ConfigSources sources;
  sources.env = {{"SOTTO_TARGET", "unix:/x"}, {"SOTTO_NO_HEADERS", "1"}, {"PATH", "/bin"}};
  EXPECT_THAT(Lines(Load("", sources)), ElementsAre());
  sources.env = {{"SOTTO_NODE__NAMME", "x"}};
  EXPECT_THAT(Lines(Load("", sources)),
              ElementsAre("SOTTO_NODE__NAMME: this variable names no setting; did you mean "
                          "\"SOTTO_NODE__NAME\"?"));
  sources.env = {{"SOTTO_STORE__CREATE", "yes"}, {"SOTTO_GOSSIP__INDIRECT_PROBES", "three"}};
  EXPECT_THAT(Codes(Load("", sources)), ElementsAre("CONFIG_WRONG_TYPE", "CONFIG_WRONG_TYPE"));
  EXPECT_THAT(ParseOverride("nothing", &sources), HasCode("CONFIG_SYNTAX"));
  sources = {};
  SOTTO_ASSERT_OK(ParseOverride("node.nam=x", &sources));
  EXPECT_THAT(Lines(Load("", sources)),
              ElementsAre("--set node.nam: unknown key \"node.nam\"; did you mean \"node.name\"?"));
}

TEST(LoadConfig, PutsNoForeignBytesOnTheTerminal) {
  const ConfigResult result = LoadConfigText("\"a\\u001b[31m\" = 1\n", "f");
  ASSERT_FALSE(result.findings.empty());
  EXPECT_EQ(result.findings[0].message.find('\x1b'), std::string::npos);
}

// ---- the pieces ---------------------------------------------------------------------------------

TEST(ConfigDiff, TellsWhatNeedsARestart) {
  const auto changes = ConfigDiff(Load("[admin]\ngroup = 'a'\n"),
                                  Load("[admin]\ngroup = 'b'\n[log]\nlevel = 'debug'\n"));
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].key, "log.level");
  EXPECT_TRUE(changes[0].reloadable);
  EXPECT_EQ(changes[1].key, "admin.group");
  EXPECT_FALSE(changes[1].reloadable);
}

TEST(ParseDuration, Table) {
  struct {
    const char* text;
    Duration duration;
  } const good[] = {{"500ms", Duration::Millis(500)},
                    {"1.5s", Duration::Millis(1500)},
                    {"7d", Duration::Hours(168)},
                    {"1h30m", Duration::Minutes(90)},
                    {"0s", Duration()},
                    {"250us", Duration::Micros(250)}};
  for (const auto& row : good) {
    EXPECT_THAT(ParseDuration(row.text), IsOkAndHolds(Eq(row.duration))) << row.text;
    EXPECT_THAT(ParseDuration(ToText(row.duration)), IsOkAndHolds(Eq(row.duration))) << row.text;
  }
  for (const char* bad : {"", "5", "s", "-1s", "1.s", ".5s", "1 s", "1S", "1w", "1s ",
                          "99999999999d", "9223372036854775807s", "1.1234567890s"}) {
    EXPECT_FALSE(ParseDuration(bad).ok()) << bad;
  }
}

TEST(ParseConfigAddress, Table) {
  struct {
    const char* text;
    const char* out;
  } const good[] = {{"10.0.0.1:1", "10.0.0.1:1"},
                    {"10.0.0.1", "10.0.0.1:7950"},
                    {"[::1]:80", "[::1]:80"},
                    {"[fe80::1%eth0]", "[fe80::1%eth0]:7950"},
                    {"gw-2.internal:7", "gw-2.internal:7"}};
  for (const auto& row : good) {
    const auto address = ParseConfigAddress(row.text, 7950);
    SOTTO_ASSERT_OK(address);
    EXPECT_EQ(ToString(*address), row.out);
  }
  for (const char* bad : {"", ":1", "::1", "[::1", "[::1]80", "[10.0.0.1]:1", "a b:1", "h:", "h:x",
                          "h:65536", "h:-1", "h:000001", "1.2.3:1", "-h:1", ".h:1"}) {
    EXPECT_THAT(ParseConfigAddress(bad, 7950), HasCode("ADDRESS_INVALID")) << bad;
  }
}

TEST(DefaultSocketPath, IsShortAndOfThisUser) {
  SOTTO_EXPECT_OK(CheckSocketPath(std::string(107, 's')));
  EXPECT_THAT(CheckSocketPath(std::string(108, 's')), HasCode("SOCKET_PATH_TOO_LONG"));
  if (geteuid() == 0) {
    EXPECT_EQ(DefaultSocketPath(Environment{}), "/run/sotto/admin.sock");
  }
}

TEST(DefaultConfigText, LoadsWithoutAFinding) {
  DefaultConfigParams params;
  params.name = "gw-1";
  const ConfigResult result = LoadConfigText(DefaultConfigText(params), "sottod.toml");
  EXPECT_THAT(Lines(result), ElementsAre());
  EXPECT_EQ(result.config.gossip.join.size(), 2u);
  EXPECT_EQ(result.config.tls.key, "/etc/sotto/pki/node.key");
  params.cluster = "edge";
  params.socket = "/run/a \"b\".sock";
  params.store_url = "sqlite:/x/y.db";
  const ConfigResult other = LoadConfigText(DefaultConfigText(params), "sottod.toml");
  EXPECT_THAT(Lines(other), ElementsAre());
  EXPECT_EQ(other.config.admin.socket, params.socket);
  EXPECT_EQ(other.config.store.url, params.store_url);
  EXPECT_EQ(other.config.node.cluster, "edge");
}

TEST(ConfigReference, NamesEveryKey) {
  const std::string text = ConfigReference();
  for (const KeySpec& spec : ConfigSchema()) {
    EXPECT_THAT(text, HasSubstr("`" + std::string(spec.key) + "`"));
  }
}

}  // namespace
}  // namespace sotto
