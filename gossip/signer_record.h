// What this node makes of those who accuse (design M4): how often each may, and whether to believe
// it.
//
// One malicious or sick member must neither flood the cluster with suspicions nor keep the living
// busy with refuting. A token bucket bounds how many suspicions a signer starts or confirms here; a
// signer whose last 8 accusations were all refuted starts and confirms none until kDiscredit has
// passed since the last refutation, or one of its accusations has come true. It must end by itself:
// a healed partition makes half of the cluster look like liars to the other half.
//
// Ownership: values. Bounded: kSignersMax, the one idle for longest makes room.
#ifndef SOTTO_GOSSIP_SIGNER_RECORD_H_
#define SOTTO_GOSSIP_SIGNER_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "gossip/time.h"

namespace sotto {

class SignerRecords {
 public:
  static constexpr size_t kSignersMax = 4'096;
  static constexpr int kOutcomes = 8;
  static constexpr Duration kDiscredit = Duration::Seconds(60);

  SignerRecords(int burst, int per_s);

  // Whether `signer` is within its rate. Takes a token if so.
  bool TakeToken(Instant now, std::string_view signer);

  // Whether its accusations start and confirm nothing.
  bool IsDiscredited(Instant now, std::string_view signer) const;

  // How an accusation ended: its subject answered with a higher incarnation, or was concluded dead.
  void Refuted(Instant now, std::string_view signer);
  void Confirmed(Instant now, std::string_view signer);

 private:
  struct Record {
    // The bucket as the instant at which it will be full again (GCRA).
    Instant full_at;
    Instant used_at;
    Instant refuted_at;
    uint8_t refuted_in_a_row = 0;  // saturates at kOutcomes
  };

  Record& RecordOf(Instant now, std::string_view signer);
  static bool IsDiscredited(Instant now, const Record& record);

  Duration token_;
  Duration bucket_;
  std::map<std::string, Record, std::less<>> records_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_SIGNER_RECORD_H_
