// Any bytes as a datagram, as a stream's frame, and as the content of a frame, at a node whose keys
// and peer are those of tests/vectors/frames.txt; so that the vectors are seeds that open.
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/frame_codec.h"
#include "crypto/frame_header.h"
#include "crypto/keyring.h"
#include "gossip/base/check.h"

namespace sotto {
namespace {

constexpr std::string_view kCluster = "edge-prod";

template <size_t kSize>
std::array<uint8_t, kSize> FromHex(const char* hex) {
  std::array<uint8_t, kSize> bytes{};
  for (size_t i = 0; i < kSize; ++i) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    bytes[i] = static_cast<uint8_t>(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
  }
  return bytes;
}

ProcessIdentityRef Identity(const char* name, const char* nonce, const char* private_key) {
  auto identity =
      ProcessIdentity::CreateForTest(kCluster, name, FromHex<16>(nonce), FromHex<32>(private_key));
  SOTTO_CHECK(identity.ok());
  return *identity;
}

// Made once; what an input could change is made for each input.
struct Fixed {
  Fixed() {
    for (const std::string_view hex :
         {"2943643ae741839678b29f0565118749", "a8ce3f36c3a95c3896a5e677c78384fdfb20bd1701423b78",
          "c105b2df3e39567a5398e172c0a3086213fe9119d88779669d78fb8ad2f0c3af"}) {
      SecretBytes bytes(hex.size() / 2);
      const auto raw = FromHex<32>(std::string(hex).append(64, '0').c_str());
      std::memcpy(bytes.mutable_view().data(), raw.data(), bytes.size());
      auto key = ClusterKey::Create(std::move(bytes), kCluster, 1);
      SOTTO_CHECK(key.ok() && ring.Install(*key).ok());
    }
  }

  Keyring ring;
  const ProcessIdentityRef sender =
      Identity("gw-1", "bde12630e1633c16b8f3e3ac76ea7817",
               "a1acbb5e83b0f887d45663a55dc03c1e6563e038e65d7c1492144ae08f9ab58a");
  const ProcessIdentityRef receiver =
      Identity("db.eu-2", "db67b31a28eaa63b20711c01e711315c",
               "26391bdc064950fbc9fe6ba0be014966e80dec5fe5b4947c8ef6c58bcdf34a4a");
  const FramePeer sender_peer{sender->boot_id(), sender->x25519_public()};
  const FramePeer receiver_peer{receiver->boot_id(), receiver->x25519_public()};
};

void CheckHeader(std::span<const uint8_t> input) {
  FrameHeader header;
  const DropReason reason = ReadFrameHeader(input, header);
  if (reason != DropReason::kNone) return;
  SOTTO_CHECK(input.size() > kFrameOverheadBytes);
  std::array<uint8_t, kFrameHeaderBytes> again;
  WriteFrameHeader(header, again);
  SOTTO_CHECK(std::memcmp(again.data(), input.data(), again.size()) == 0);
}

void CheckDatagram(FrameCodec& codec, std::span<const uint8_t> input) {
  std::vector<uint8_t> out(input.size(), 0xcc);
  const OpenedFrame opened = codec.Open(Instant(), input, out);
  if (opened.drop != DropReason::kNone) {
    SOTTO_CHECK(opened.plaintext.empty() && codec.sessions() == 0);
    return;
  }
  SOTTO_CHECK(opened.plaintext.size() == input.size() - kFrameOverheadBytes);
  const bool hello = opened.kind == FrameKind::kHello;
  SOTTO_CHECK(codec.sessions() == (hello ? 0u : 1u));
  // The same datagram again is a replay; a hello is not.
  const DropReason again = codec.Open(Instant(), input, out).drop;
  SOTTO_CHECK(again == (hello ? DropReason::kNone : DropReason::kReplayDuplicate));
}

void CheckStream(const Fixed& fixed, std::span<const uint8_t> input) {
  StreamOpener opener(&fixed.ring, fixed.receiver->boot_id(), fixed.sender->boot_id());
  std::string out;
  const DropReason first = opener.Open(input, out);
  SOTTO_CHECK(out.empty() == (first != DropReason::kNone));
  const DropReason again = opener.Open(input, out);
  SOTTO_CHECK(again == (first == DropReason::kNone ? DropReason::kReplayDuplicate : first));
}

// Whatever is sealed opens to itself.
void CheckContent(const Fixed& fixed, FrameCodec& receiver, std::span<const uint8_t> input) {
  if (input.empty() || input.size() > kDatagramBytesMax - kFrameOverheadBytes) return;
  FrameCodec sender(fixed.sender, &fixed.ring, [](const BootId&) { return nullptr; });
  std::vector<uint8_t> frame(input.size() + kFrameOverheadBytes);
  std::vector<uint8_t> out(frame.size());
  SOTTO_CHECK(sender.Seal(Instant(), fixed.receiver_peer, input, frame).ok());
  const OpenedFrame opened = receiver.Open(Instant(), frame, out);
  SOTTO_CHECK(opened.drop == DropReason::kNone && opened.plaintext.size() == input.size());
  SOTTO_CHECK(std::memcmp(opened.plaintext.data(), input.data(), input.size()) == 0);
}

}  // namespace
}  // namespace sotto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const sotto::Fixed fixed;
  const std::span<const uint8_t> input(data, size);
  sotto::CheckHeader(input);
  const auto lookup = [](const sotto::BootId& id) -> const sotto::FramePeer* {
    return id == fixed.sender_peer.boot_id ? &fixed.sender_peer : nullptr;
  };
  sotto::FrameCodec codec(fixed.receiver, &fixed.ring, lookup);
  sotto::CheckDatagram(codec, input);
  sotto::CheckStream(fixed, input);
  sotto::FrameCodec fresh(fixed.receiver, &fixed.ring, lookup);
  sotto::CheckContent(fixed, fresh, input);
  return 0;
}
