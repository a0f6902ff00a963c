// Known answers: published ones for the primitives, and our own for whole frames, which an
// independent program made (tests/vectors/make_frame_vectors.py).
#include <gtest/gtest.h>

#include <algorithm>

#include "crypto/frame_codec.h"
#include "crypto/frame_header.h"
#include "crypto/hkdf.h"
#include "crypto/openssl_internal.h"
#include "tests/crypto/frame_world.h"
#include "tests/crypto/hex.h"
#include "tests/crypto/vectors.h"

namespace sotto {
namespace {

using testing::Bytes;
using testing::FromHex;
using testing::Process;
using testing::ReadVectors;
using testing::ToHex;
using testing::VectorCase;

ProcessIdentityRef IdentityFrom(const VectorCase& one) {
  std::array<uint8_t, 16> nonce{};
  std::ranges::copy(one["nonce"], nonce.begin());
  auto identity =
      ProcessIdentity::CreateForTest(one.Text("cluster"), one.Text("name"), nonce, one["private"]);
  EXPECT_TRUE(identity.ok()) << identity.status();
  return *identity;
}

ClusterKeyRef KeyFrom(const VectorCase& one, const ProcessIdentity& who) {
  auto key = ClusterKey::Create(SecretBytes(one["key"]), who.cluster(), 1);
  EXPECT_TRUE(key.ok()) << key.status();
  return *key;
}

std::array<uint8_t, 32> Point(const std::string& hex) {
  std::array<uint8_t, 32> point{};
  std::ranges::copy(FromHex(hex), point.begin());
  return point;
}

class FrameVectorsTest : public ::testing::Test {
 protected:
  FrameVectorsTest() {
    const auto processes = ReadVectors("frames.txt", "process");
    EXPECT_EQ(processes.size(), 2u);
    sender_ = IdentityFrom(processes.at(0));
    receiver_ = IdentityFrom(processes.at(1));
  }

  ProcessIdentityRef sender_, receiver_;
};

TEST_F(FrameVectorsTest, BootIdsAndPublicKeys) {
  for (const auto& one : ReadVectors("frames.txt", "process")) {
    const ProcessIdentityRef identity = IdentityFrom(one);
    EXPECT_EQ(ToHex(identity->boot_id().bytes), ToHex(one["boot"]));
    EXPECT_EQ(ToHex(identity->x25519_public()), ToHex(one["public"]));
    EXPECT_EQ(identity->boot_id(),
              MakeBootId(identity->cluster(), identity->name(), identity->nonce()));
  }
}

TEST_F(FrameVectorsTest, Subkeys) {
  size_t count = 0;
  for (const char* kind : {"frame", "hello", "stream"}) {
    for (const auto& one : ReadVectors("frames.txt", kind)) {
      Bytes okm(one["okm"].size());
      ASSERT_TRUE(HkdfSha256(one["ikm"], one["salt"], one["info"], okm).ok());
      EXPECT_EQ(ToHex(okm), ToHex(one["okm"]));
      ++count;
    }
  }
  EXPECT_EQ(count, 18u);
}

TEST_F(FrameVectorsTest, DatagramsOpenAndSealToTheByte) {
  const auto cases = ReadVectors("frames.txt", "frame");
  ASSERT_EQ(cases.size(), 9u);
  std::map<Bytes, std::unique_ptr<Process>> senders, receivers;
  size_t sealed = 0;
  for (const auto& one : cases) {
    auto& sender = senders[one["key"]];
    auto& receiver = receivers[one["key"]];
    if (sender == nullptr) {
      sender = std::make_unique<Process>(sender_);
      receiver = std::make_unique<Process>(receiver_);
      receiver->Knows(*sender);
      const ClusterKeyRef key = KeyFrom(one, *sender_);
      ASSERT_TRUE(sender->ring.Install(key).ok());
      ASSERT_TRUE(receiver->ring.Install(key).ok());
    }
    const OpenedFrame opened = receiver->Open(one["frame"]);
    ASSERT_EQ(opened.drop, DropReason::kNone);
    EXPECT_EQ(opened.kind, FrameKind::kDatagram);
    EXPECT_EQ(ToHex(opened.plaintext), ToHex(one["plaintext"]));
    // The sealer begins with sequence 1 and counter 1; the third case lies far from there.
    if (one.U32("sequence") != 1) continue;
    EXPECT_EQ(ToHex(sender->SealFor(*receiver, one.Text("plaintext"))), ToHex(one["frame"]));
    ++sealed;
  }
  EXPECT_EQ(sealed, 6u);
}

TEST_F(FrameVectorsTest, HellosOpenAndSealToTheByte) {
  const auto cases = ReadVectors("frames.txt", "hello");
  ASSERT_EQ(cases.size(), 3u);
  for (const auto& one : cases) {
    Process sender(sender_), receiver(receiver_);
    const ClusterKeyRef key = KeyFrom(one, *sender_);
    ASSERT_TRUE(sender.ring.Install(key).ok());
    ASSERT_TRUE(receiver.ring.Install(key).ok());
    const OpenedFrame opened = receiver.Open(one["frame"]);
    ASSERT_EQ(opened.drop, DropReason::kNone);
    EXPECT_EQ(opened.kind, FrameKind::kHello);
    EXPECT_EQ(ToHex(opened.plaintext), ToHex(one["plaintext"]));
    EXPECT_EQ(ToHex(sender.HelloFor(receiver, one.Text("plaintext"))), ToHex(one["frame"]));
  }
}

TEST_F(FrameVectorsTest, StreamsOpenAndSealToTheByte) {
  const auto cases = ReadVectors("frames.txt", "stream");
  ASSERT_EQ(cases.size(), 6u);
  for (size_t i = 0; i < cases.size(); i += 2) {
    const ClusterKeyRef key = KeyFrom(cases[i], *sender_);
    Keyring ring;
    ASSERT_TRUE(ring.Install(key).ok());
    auto sealer = StreamSealer::Create(key, sender_->boot_id(), receiver_->boot_id(),
                                       StreamSequences().Next());
    ASSERT_TRUE(sealer.ok()) << sealer.status();
    StreamOpener opener(&ring, receiver_->boot_id(), sender_->boot_id());
    for (size_t chunk = i; chunk < i + 2; ++chunk) {
      std::string frame, plaintext;
      ASSERT_TRUE((*sealer)->Seal(cases[chunk]["plaintext"], frame).ok());
      EXPECT_EQ(ToHex(testing::AsBytes(frame)), ToHex(cases[chunk]["frame"]));
      ASSERT_EQ(opener.Open(cases[chunk]["frame"], plaintext), DropReason::kNone);
      EXPECT_EQ(plaintext, cases[chunk].Text("plaintext"));
    }
  }
}

// RFC 7748, 6.1.
TEST(X25519Test, AgreesAsPublished) {
  const auto alice = ProcessIdentity::CreateForTest(
      "c", "alice", {},
      FromHex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  const auto bob = ProcessIdentity::CreateForTest(
      "c", "bob", {}, FromHex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
  ASSERT_TRUE(alice.ok() && bob.ok());
  EXPECT_EQ(ToHex((*alice)->x25519_public()),
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(ToHex((*bob)->x25519_public()),
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  const auto shared = (*alice)->Agree((*bob)->x25519_public());
  ASSERT_TRUE(shared.ok()) << shared.status();
  EXPECT_EQ(ToHex(shared->view()),
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  EXPECT_TRUE(*(*bob)->Agree((*alice)->x25519_public()) == *shared);
}

TEST(X25519Test, PointsOfSmallOrderAreRefused) {
  const ProcessIdentityRef self = testing::TestIdentity("gw-1");
  const std::string zeros(62, '0');
  // The points of order 1, 2, 4 and 8 that everybody lists, and two that reduce to them.
  for (const std::string& point :
       {"00" + zeros, "01" + zeros,
        std::string("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        std::string("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        std::string("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        std::string("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        std::string("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")}) {
    const auto agreed = self->Agree(Point(point));
    EXPECT_TRUE(absl::IsInvalidArgument(agreed.status())) << point;
  }
}

// The GCM specification's test cases with additional data, 4, 10 and 16: OpenSSL's ciphers by the
// names that the codec fetches.
TEST(AesGcmTest, PublishedAnswers) {
  const std::string key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
  const Bytes nonce = FromHex("cafebabefacedbaddecaf888");
  const Bytes data = FromHex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const Bytes plaintext = FromHex(
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6"
      "b525b16aedf5aa0de657ba637b39");
  const std::vector<std::tuple<const char*, size_t, std::string, std::string>> cases = {
      {"AES-128-GCM", 16,
       "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac8"
       "4"
       "aa051ba30b396a0aac973d58e091",
       "5bc94fbc3221a5db94fae95ae7121a47"},
      {"AES-192-GCM", 24,
       "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c7d773d00c144c525ac619d18c84"
       "a"
       "3f4718e2448b2fe324d9ccda2710",
       "2519498e80f1478f37ba55bd6d27618c"},
      {"AES-256-GCM", 32,
       "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b10568"
       "2"
       "8838c5f61e6393ba7a0abcc9f662",
       "76fc6ece0f4e1768cddf8853bb2d551b"}};
  for (const auto& [name, key_size, ciphertext, tag] : cases) {
    const internal::EvpCipherPtr cipher(EVP_CIPHER_fetch(nullptr, name, nullptr));
    const internal::EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
    ASSERT_NE(cipher, nullptr) << name;
    EXPECT_EQ(static_cast<size_t>(EVP_CIPHER_get_key_length(cipher.get())), key_size);
    const Bytes key_bytes = FromHex(key.substr(0, 2 * key_size));
    Bytes out(plaintext.size()), tag_out(kFrameTagBytes);
    int written = 0;
    ASSERT_EQ(
        EVP_EncryptInit_ex2(context.get(), cipher.get(), key_bytes.data(), nonce.data(), nullptr),
        1);
    ASSERT_EQ(EVP_EncryptUpdate(context.get(), nullptr, &written, data.data(),
                                static_cast<int>(data.size())),
              1);
    ASSERT_EQ(EVP_EncryptUpdate(context.get(), out.data(), &written, plaintext.data(),
                                static_cast<int>(plaintext.size())),
              1);
    ASSERT_EQ(EVP_EncryptFinal_ex(context.get(), out.data() + written, &written), 1);
    ASSERT_EQ(
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kFrameTagBytes, tag_out.data()),
        1);
    EXPECT_EQ(ToHex(out), ciphertext) << name;
    EXPECT_EQ(ToHex(tag_out), tag) << name;
  }
}

}  // namespace
}  // namespace sotto
