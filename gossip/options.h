// Every knob of the protocol: its unit, its default, and why.
//
// Three profiles set all timers (design S8): Lan() for one site, Local() for one machine, Wan() for
// sites apart. Sources: the SWIM paper (DSN 2002), the Lifeguard paper (DSN 2018), and the defaults
// that hashicorp/memberlist has proven in the field.
#ifndef SOTTO_GOSSIP_OPTIONS_H_
#define SOTTO_GOSSIP_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "gossip/time.h"

namespace sotto {

// The first thing wrong with a set of options: which field, and what would be right.
struct OptionError {
  std::string field;
  std::string message;
};

// The mechanisms of Lifeguard, one by one. All are on; experiments switch them off to see what each
// is worth.
struct LifeguardOptions {
  // Local health score stretches probe intervals and timeouts. Off: it is kept and told, and
  // stretches nothing.
  bool health_scaling = true;
  // Relays that hear nothing say so. Off: none is sent, and a failed probe costs one point.
  bool nacks = true;
  // Suspicions begin at the maximum and fall with confirmations. Off: they last the minimum, as
  // with beta = 1.
  bool dynamic_suspicion = true;
  // Every packet to a suspect carries the accusation, and suspects are warned. Off: a suspect hears
  // of it by gossip.
  bool buddy = true;
};

struct ProtocolOptions {
  // ---- failure detection ------------------------------------------------------------------------
  // One member is probed in each interval; detection of a crash begins 1.58 intervals after it on
  // average, whatever the size of the cluster.
  Duration probe_interval = Duration::Seconds(1);
  // How long a ping may take before k others are asked too. Above the 99th percentile of the round
  // trip, well below the interval.
  Duration probe_timeout = Duration::Millis(500);
  // k of SWIM: members asked to ping on our behalf.
  int indirect_probes = 3;
  // A nack is sent at this share of the probe timeout (Lifeguard: 80 %).
  int nack_percent = 80;

  // ---- suspicion --------------------------------------------------------------------------------
  // Minimum = alpha * max(1, log10(n)) * probe_interval; maximum = beta * minimum. The timer starts
  // at the maximum and falls to the minimum with K independent confirmations (Lifeguard, section
  // 3).
  int suspicion_alpha = 4;
  int suspicion_beta = 6;
  int suspicion_confirmations = 3;
  // Local health score saturates here; interval and timeout are multiplied by score + 1.
  int health_score_max = 8;
  LifeguardOptions lifeguard;

  // ---- dissemination ----------------------------------------------------------------------------
  Duration gossip_interval = Duration::Millis(200);
  int gossip_fanout = 3;
  // Each broadcast is sent retransmit_mult * digits(n) times by each node that hears of it.
  int retransmit_mult = 4;
  // While a backlog stands, a tick sends on up to this rate (W9).
  int64_t gossip_bytes_per_s = 256 * 1024;
  // Members found dead still get gossip for this long, so that they can refute.
  Duration gossip_to_dead = Duration::Seconds(30);
  // Space for one packet: 1232 B (IPv6's safe datagram) less the frame's 37.
  size_t packet_bytes_max = 1232 - 37;

  // ---- state sync -------------------------------------------------------------------------------
  // A routine sync with a random member; hash differences start one earlier (W10).
  Duration sync_interval = Duration::Minutes(10);
  // Own hash still for this long before a hash sync.
  Duration sync_settle = Duration::Seconds(5);
  // A hash sync although broadcasts are still pending.
  Duration sync_settle_max = Duration::Seconds(60);
  // A joiner compares its table with a few members once it has been still for this long, and syncs
  // with one that has another, until it finds none. A gossip interval: news still on its way would
  // have come. The second: it does so at the latest then, although its table still changes.
  Duration join_settle = Duration::Millis(200);
  Duration join_settle_max = Duration::Seconds(8);
  // First and last delay between attempts to reach a contact or a dead member; doubled each time,
  // jittered, for ever (M8).
  Duration retry_min = Duration::Seconds(1);
  Duration retry_max = Duration::Seconds(30);

  // ---- user events and queries ------------------------------------------------------------------
  // What this node may say, events and queries together: so many in a burst, then so many a second.
  // Others take four times that of one member, and neither deliver nor pass on what is beyond, so
  // that no member can storm the cluster.
  int event_burst = 16;
  int events_per_s = 4;
  // For an application that wants, of events of one name within this time, only the newest; zero
  // hands on every one.
  Duration event_coalesce;

  // ---- memory -----------------------------------------------------------------------------------
  // How long the gone are shown, and how long their tombstones are kept (M5).
  Duration show_dead = Duration::Hours(72);
  Duration show_left = Duration::Hours(24);
  Duration keep_dead = Duration::Hours(7 * 24);
  Duration keep_left = Duration::Hours(48);
  // Accusers kept for one member; Lifeguard's K needs 3.
  int accusers_max = 8;
  // Rows in all, tombstones included: a bound on memory, not a target.
  size_t members_max = 65'536;
  // Names and addresses retried beyond their tombstones.
  size_t lost_members_max = 1'024;
  // A signer may start or confirm at most this many suspicions in a burst, and then this many a
  // second (M4).
  int accusation_burst = 16;
  int accusations_per_s = 2;

  static ProtocolOptions Lan();
  static ProtocolOptions Local();
  static ProtocolOptions Wan();

  // Nothing when all is well.
  std::optional<OptionError> Validate() const;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_OPTIONS_H_
