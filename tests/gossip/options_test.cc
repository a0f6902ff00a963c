#include "gossip/options.h"

#include <functional>
#include <string>

#include "gossip/member.h"
#include "gtest/gtest.h"

namespace sotto {
namespace {

TEST(Options, TheProfilesAreSoundAndAsDecided) {
  for (const ProtocolOptions& options :
       {ProtocolOptions::Lan(), ProtocolOptions::Local(), ProtocolOptions::Wan()}) {
    const auto error = options.Validate();
    EXPECT_FALSE(error) << error->field << " " << error->message;
  }
  EXPECT_EQ(ProtocolOptions::Local().probe_interval, Duration::Millis(500));
  EXPECT_EQ(ProtocolOptions::Local().probe_timeout, Duration::Millis(200));
  EXPECT_EQ(ProtocolOptions::Local().gossip_interval, Duration::Millis(100));
  EXPECT_EQ(ProtocolOptions::Wan().probe_interval, Duration::Seconds(5));
  EXPECT_EQ(ProtocolOptions::Wan().gossip_fanout, 4);
  EXPECT_EQ(ProtocolOptions::Wan().suspicion_alpha, 6);
}

TEST(Options, EachMistakeIsNamed) {
  using Break = std::function<void(ProtocolOptions&)>;
  const struct {
    const char* field;
    Break break_it;
  } rows[] = {
      {"probe_interval", [](auto& o) { o.probe_interval = Duration(); }},
      {"probe_timeout", [](auto& o) { o.probe_timeout = o.probe_interval; }},
      {"probe_timeout", [](auto& o) { o.probe_timeout = Duration::Nanos(-1); }},
      {"indirect_probes", [](auto& o) { o.indirect_probes = -1; }},
      {"nack_percent", [](auto& o) { o.nack_percent = 100; }},
      {"suspicion_alpha", [](auto& o) { o.suspicion_alpha = 0; }},
      {"suspicion_beta", [](auto& o) { o.suspicion_beta = 0; }},
      {"suspicion_confirmations", [](auto& o) { o.suspicion_confirmations = -1; }},
      {"health_score_max", [](auto& o) { o.health_score_max = -1; }},
      {"gossip_interval", [](auto& o) { o.gossip_interval = Duration(); }},
      {"gossip_fanout", [](auto& o) { o.gossip_fanout = 0; }},
      {"retransmit_mult", [](auto& o) { o.retransmit_mult = 0; }},
      {"gossip_bytes_per_s", [](auto& o) { o.gossip_bytes_per_s = 0; }},
      {"gossip_to_dead", [](auto& o) { o.gossip_to_dead = Duration::Nanos(-1); }},
      {"packet_bytes_max", [](auto& o) { o.packet_bytes_max = 100; }},
      {"sync_interval", [](auto& o) { o.sync_interval = Duration(); }},
      {"sync_settle_max", [](auto& o) { o.sync_settle_max = Duration(); }},
      {"join_settle", [](auto& o) { o.join_settle = Duration(); }},
      {"join_settle_max", [](auto& o) { o.join_settle_max = Duration(); }},
      {"retry_min", [](auto& o) { o.retry_min = Duration(); }},
      {"retry_max", [](auto& o) { o.retry_max = Duration::Millis(1); }},
      {"keep_dead", [](auto& o) { o.keep_dead = Duration(); }},
      {"keep_left", [](auto& o) { o.keep_left = Duration(); }},
      {"accusers_max", [](auto& o) { o.accusers_max = 3; }},
      {"members_max", [](auto& o) { o.members_max = 1; }},
      {"accusation_burst", [](auto& o) { o.accusation_burst = 0; }},
      {"accusations_per_s", [](auto& o) { o.accusations_per_s = 0; }},
  };
  for (const auto& row : rows) {
    ProtocolOptions options;
    row.break_it(options);
    const auto error = options.Validate();
    ASSERT_TRUE(error) << row.field;
    EXPECT_EQ(error->field, row.field);
    EXPECT_FALSE(error->message.empty());
  }
}

TEST(Member, NamesAreOfTheAlphabetAndWithinTheirLength) {
  for (const char* name : {"a", "A", "9", "gw-1", "a.b_c-d", "0.", "a--"}) {
    EXPECT_TRUE(IsValidMemberName(name)) << name;
  }
  for (const char* name : {"", "-a", ".a", "_a", "a b", "a/b", "a\n", "\xc3\xa4", "a:b"}) {
    EXPECT_FALSE(IsValidMemberName(name)) << name;
  }
  EXPECT_FALSE(IsValidMemberName(std::string_view("a\0b", 3)));
  EXPECT_TRUE(IsValidMemberName(std::string(128, 'a')));
  EXPECT_FALSE(IsValidMemberName(std::string(129, 'a')));
  EXPECT_TRUE(IsValidClusterName(std::string(40, 'a')));
  EXPECT_FALSE(IsValidClusterName(std::string(41, 'a')));
}

}  // namespace
}  // namespace sotto
