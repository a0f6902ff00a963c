// Messages to bytes and back (protobuf inside; its types never leave wire.cc).
//
// Three forms: the plaintext of datagrams and hellos; the preamble, plain inside TLS; and the
// messages of a stream, inside its sealed frames. The stream puts a length before the last two.
//
// Decoders are total: any bytes give a value or a reason, never a crash, and no list is allocated
// before its length was held against the limits below. Unknown fields and unknown kinds of message
// are passed over, so that a newer sender can be understood in part.
// Every size limit of the wire lives here, and holds for encoding and decoding alike.
// Threads: pure functions.  Errors: DropReason kDecode (not our encoding), kSemantic (a value that
// cannot be); coded statuses where a stream ends over it.
#ifndef SOTTO_GOSSIP_WIRE_H_
#define SOTTO_GOSSIP_WIRE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "crypto/frame_codec.h"
#include "crypto/keyring.h"
#include "gossip/action.h"
#include "gossip/member.h"
#include "gossip/messages.h"
#include "gossip/set_hash.h"
#include "gossip/user_events.h"

namespace sotto {

// ---- limits -------------------------------------------------------------------------------------
// No datagram can hold more messages than this: the least takes 12 bytes.
inline constexpr size_t kPacketMessagesMax = 160;
inline constexpr size_t kPacketStatementsMax = 64;
inline constexpr size_t kPacketWantsMax = 16;
inline constexpr size_t kPacketCertificatesMax = 4;
// The longest statement: 512 B of tags cut as finely as can be, the longest names, four addresses.
inline constexpr size_t kStatementBytesMax = 2560;
inline constexpr size_t kWireCertificateBytesMax = 4096;  // Certificate::kDerBytesMax
inline constexpr size_t kPreambleBytesMax = 4 * 1024;
inline constexpr size_t kPreambleKeysMax = 16;
// A ring never has more keys newer than the one that seals.
inline constexpr size_t kPreambleOffersMax = 3;
inline constexpr size_t kPreambleOfferBytesMax = 1'024;
inline constexpr size_t kStreamMessageBytesMax = 8 * 1024 * 1024;
inline constexpr size_t kSyncStatementsMax = 65'536;  // for each message, and for a whole sync
inline constexpr size_t kSyncDeadNamesMax = 65'536;
// Ids and statements in one message: a store of user events whole.
inline constexpr size_t kSyncEventsMax = UserEventStore::kEventsMax;
inline constexpr size_t kStreamCertificatesMax = 1'024;  // asked for, or sent, in one message

// What one application tells another. A larger one than kMessageDirectBytesMax is announced first.
inline constexpr size_t kMessageBytesMax = 1024 * 1024;
inline constexpr size_t kMessageDirectBytesMax = 16 * 1024;
// What a stream's server reads before it has granted more: all requests fit.
inline constexpr size_t kStreamRequestBytesMax = 64 * 1024;
inline constexpr size_t kCoordinateFieldBytesMax = 24;

// ---- datagrams ----------------------------------------------------------------------------------

// What a datagram held: statements are still bytes, for StatementCache to resolve.
struct WirePacket {
  std::vector<Message> messages;
  std::vector<std::string> statements;
  std::vector<Hash256> want_certificates;
  std::vector<std::string> certificates;  // DER
  std::string coordinate;                 // of the sender, as coordinate.h writes it; or empty
};

// CHECKs the limits above: who fills a packet keeps a byte budget far below them.
std::string EncodePacket(const Packet& packet, std::span<const Hash256> want_certificates = {},
                         std::span<const std::string> certificates = {},
                         std::string_view coordinate = {});
inline constexpr size_t kCoordinateWireSizeMax = kCoordinateFieldBytesMax + 2;
// What a certificate or the wish for one adds to a packet at most.
size_t CertificateWireSizeMax(size_t der_bytes);
inline constexpr size_t kWantCertificateWireSize = 34;

// kNone, kDecode or kSemantic; `*packet` is whole on kNone and unspecified otherwise.
DropReason DecodePacket(std::span<const uint8_t> bytes, WirePacket* packet);

// A hello: the sender's own Alive, with its certificate if it fits.
struct WireHello {
  std::string alive;        // statement bytes
  std::string certificate;  // DER, or empty
};
// The certificate goes along only if all of it takes at most `budget` bytes.
std::string EncodeHello(std::string_view alive, std::string_view certificate_der, size_t budget);
DropReason DecodeHello(std::span<const uint8_t> bytes, WireHello* hello);

// ---- the preamble -------------------------------------------------------------------------------

// The first thing either end says inside TLS, before any sealed frame (K1).
struct Preamble {
  uint8_t version_min = kFrameVersion;
  uint8_t version_max = kFrameVersion;
  std::string cluster;
  std::string name;
  std::array<uint8_t, 16> boot_nonce{};
  std::vector<KeyId> keys;           // held
  std::optional<KeyId> sealing_key;  // none: the ring is empty
  // Of `keys`, those that may pass to who lacks them; and what passes, wrapped (design K2).
  std::vector<KeyId> can_offer;
  std::vector<std::string> offers;
  bool wants_keys = false;  // the client's: a second preamble of the server's is to follow
  friend bool operator==(const Preamble&, const Preamble&) = default;
};

std::string EncodePreamble(const Preamble& preamble);
// INVALID_ARGUMENT PREAMBLE_INVALID: not a preamble, or with names, keys or
// versions that cannot be.
absl::StatusOr<Preamble> DecodePreamble(std::string_view bytes);
// Whether the other end may claim this: our cluster, and the name of its certificate. The boot id
// that follows from it, or PERMISSION_DENIED CLUSTER_MISMATCH, CERT_WRONG_NAME; FAILED_PRECONDITION
// VERSION_MISMATCH: no frame version in common.
absl::StatusOr<BootId> CheckPreamble(const Preamble& preamble, std::string_view cluster,
                                     std::string_view certificate_name);

// ---- messages of a stream -----------------------------------------------------------------------

// "This is my table's hash; let us compare."
struct SyncRequest {
  SetHash set_hash;
  SyncReason reason = SyncReason::kRoutine;
  friend bool operator==(const SyncRequest&, const SyncRequest&) = default;
};
// "The same as mine." And what user events there are here: digest (0: none) and Lamport clock.
struct SyncEqual {
  uint64_t events = 0;
  uint64_t clock = 0;
  friend bool operator==(const SyncEqual&, const SyncEqual&) = default;
};
// A table, whole or a part of it (see SplitSyncRows): statements as bytes, and names called dead.
struct SyncRows {
  std::vector<std::string> statements;
  std::vector<std::string> dead_names;
  bool last = true;
  uint64_t events = 0;  // as in SyncEqual; they count with the last part
  uint64_t clock = 0;
  friend bool operator==(const SyncRows&, const SyncRows&) = default;
};
struct SyncTombstones {
  std::vector<std::string> statements;
  friend bool operator==(const SyncTombstones&, const SyncTombstones&) = default;
};
// "I have nothing more to send."
struct SyncDone {
  friend bool operator==(const SyncDone&, const SyncDone&) = default;
};
struct WantCertificates {
  std::vector<Hash256> hashes;
  friend bool operator==(const WantCertificates&, const WantCertificates&) = default;
};
// The answer; those that are not known are left out.
struct CertificateBundle {
  std::vector<std::string> ders;
  friend bool operator==(const CertificateBundle&, const CertificateBundle&) = default;
};
struct StreamPing {
  uint64_t nonce = 0;
  friend bool operator==(const StreamPing&, const StreamPing&) = default;
};
struct StreamAck {
  uint64_t nonce = 0;
  uint64_t set_hash = 0;
  friend bool operator==(const StreamAck&, const StreamAck&) = default;
};
struct StreamBusy {
  uint32_t retry_after_ms = 0;
  friend bool operator==(const StreamBusy&, const StreamBusy&) = default;
};
// "Send me what `name` says of itself", where it does not fit a datagram.
struct WantStatement {
  std::string name;
  friend bool operator==(const WantStatement&, const WantStatement&) = default;
};
// Statements unasked or as the answer to WantStatement (empty: none is known).
struct StreamStatements {
  std::vector<std::string> statements;
  friend bool operator==(const StreamStatements&, const StreamStatements&) = default;
};

// What one application tells another: at once if it is small; else first without the payload, which
// follows the receipt kGoOn.
struct AppMessage {
  uint32_t size = 0;
  std::string payload;
  friend bool operator==(const AppMessage&, const AppMessage&) = default;
};
struct AppReceipt {
  enum class Verdict : uint8_t {
    kGoOn = 1,       // there is room for what was announced
    kDelivered = 2,  // the application has taken it
    kRefused = 3,    // this node takes no messages
    kBusy = 4,       // too many wait here
    kFailed = 5,     // the application was called and threw
  };
  Verdict verdict = Verdict::kRefused;
  friend bool operator==(const AppReceipt&, const AppReceipt&) = default;
};

// "These user events I hold." The answer is EventRows.
struct EventIds {
  std::vector<uint64_t> ids;
  friend bool operator==(const EventIds&, const EventIds&) = default;
};
// What the other end lacks; `wanted` is what it is asked for in turn, in EventRows without wishes.
struct EventRows {
  std::vector<std::string> statements;
  std::vector<uint64_t> wanted;
  uint64_t clock = 0;
  friend bool operator==(const EventRows&, const EventRows&) = default;
};

using StreamMessage =
    std::variant<SyncRequest, SyncEqual, SyncRows, SyncTombstones, SyncDone, WantCertificates,
                 CertificateBundle, StreamPing, StreamAck, StreamBusy, WantStatement,
                 StreamStatements, AppMessage, AppReceipt, EventIds, EventRows>;

// RESOURCE_EXHAUSTED MESSAGE_TOO_LONG: beyond a limit above.
absl::StatusOr<std::string> EncodeStreamMessage(const StreamMessage& message);
// INVALID_ARGUMENT STREAM_MALFORMED (not our encoding, or values that cannot be);
// RESOURCE_EXHAUSTED MESSAGE_TOO_LONG; UNIMPLEMENTED MESSAGE_UNKNOWN: a kind that only a newer node
// knows, to be passed over.
absl::StatusOr<StreamMessage> DecodeStreamMessage(std::string_view bytes);

// Cuts a table into parts of at most `bytes_max` bytes of statements and names each, at least one;
// only the final one is `last`.
std::vector<SyncRows> SplitSyncRows(SyncRows rows, size_t bytes_max = 4 * 1024 * 1024);

}  // namespace sotto

#endif  // SOTTO_GOSSIP_WIRE_H_
