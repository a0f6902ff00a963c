#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/frame_codec.h"
#include "crypto/openssl_internal.h"
#include "crypto/secure_random.h"
#include "crypto/sha256.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

using absl::StatusCode;

constexpr size_t kX25519Bytes = 32;

absl::Status CheckNames(std::string_view cluster, std::string_view name) {
  if (cluster.empty() || cluster.size() > kClusterNameBytesMax) {
    return CodedError(StatusCode::kInvalidArgument, "CLUSTER_NAME_INVALID",
                      absl::StrCat("a cluster's name of ", cluster.size(), " bytes, want 1 to ",
                                   kClusterNameBytesMax));
  }
  if (name.empty() || name.size() > kMemberNameBytesMax) {
    return CodedError(StatusCode::kInvalidArgument, "MEMBER_NAME_INVALID",
                      absl::StrCat("a member's name of ", name.size(), " bytes, want 1 to ",
                                   kMemberNameBytesMax));
  }
  return absl::OkStatus();
}

absl::StatusOr<internal::EvpPkeyPtr> PrivateKey(std::span<const uint8_t> bytes) {
  ERR_clear_error();
  internal::EvpPkeyPtr key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, bytes.data(), bytes.size()));
  if (key != nullptr) return key;
  return internal::OpenSslError(StatusCode::kInternal, "CRYPTO_FAILED", "an X25519 private key");
}

}  // namespace

BootId MakeBootId(std::string_view cluster, std::string_view name,
                  const std::array<uint8_t, 16>& nonce) {
  SOTTO_CHECK(cluster.size() <= 255 && name.size() <= 255);
  std::string text = "sotto/1 boot";
  text += static_cast<char>(cluster.size());
  text += cluster;
  text += static_cast<char>(name.size());
  text += name;
  text.append(reinterpret_cast<const char*>(nonce.data()), nonce.size());
  const Hash256 hash = Sha256(text);
  BootId id;
  std::copy_n(hash.bytes.begin(), id.bytes.size(), id.bytes.begin());
  return id;
}

absl::StatusOr<ProcessIdentityRef> ProcessIdentity::Create(std::string_view cluster,
                                                           std::string_view name) {
  std::array<uint8_t, 16> nonce;
  SOTTO_RETURN_IF_ERROR(FillRandom(nonce));
  SecretBytes private_key(kX25519Bytes);
  SOTTO_RETURN_IF_ERROR(FillRandom(private_key.mutable_view()));
  return CreateForTest(cluster, name, nonce, private_key.view());
}

absl::StatusOr<ProcessIdentityRef> ProcessIdentity::CreateForTest(
    std::string_view cluster, std::string_view name, const std::array<uint8_t, 16>& nonce,
    std::span<const uint8_t> x25519_private) {
  SOTTO_RETURN_IF_ERROR(CheckNames(cluster, name));
  if (x25519_private.size() != kX25519Bytes) {
    return absl::InvalidArgumentError("an X25519 private key has 32 bytes");
  }
  SOTTO_ASSIGN_OR_RETURN(internal::EvpPkeyPtr key, PrivateKey(x25519_private));
  std::shared_ptr<ProcessIdentity> made(new ProcessIdentity());
  size_t size = made->public_.size();
  if (EVP_PKEY_get_raw_public_key(key.get(), made->public_.data(), &size) != 1 ||
      size != made->public_.size()) {
    return internal::OpenSslError(StatusCode::kInternal, "CRYPTO_FAILED", "an X25519 public key");
  }
  made->cluster_ = cluster;
  made->name_ = name;
  made->nonce_ = nonce;
  made->boot_id_ = MakeBootId(cluster, name, nonce);
  made->private_ = std::shared_ptr<EVP_PKEY>(std::move(key));
  return ProcessIdentityRef(std::move(made));
}

absl::StatusOr<SecretBytes> ProcessIdentity::Agree(
    const std::array<uint8_t, 32>& other_public) const {
  const internal::EvpPkeyPtr other(EVP_PKEY_new_raw_public_key(
      EVP_PKEY_X25519, nullptr, other_public.data(), other_public.size()));
  const internal::EvpPkeyCtxPtr context(
      EVP_PKEY_CTX_new(static_cast<EVP_PKEY*>(private_.get()), nullptr));
  if (other == nullptr || context == nullptr || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer_ex(context.get(), other.get(), 0) != 1) {
    return internal::OpenSslError(StatusCode::kInternal, "CRYPTO_FAILED", "X25519");
  }
  SecretBytes agreed(kX25519Bytes);
  size_t size = agreed.size();
  const bool derived = EVP_PKEY_derive(context.get(), agreed.mutable_view().data(), &size) == 1 &&
                       size == agreed.size();
  // Every 32 bytes are a point. One of small order gives all zeros; OpenSSL refuses it, and so do
  // we should it ever not.
  if (!derived || agreed == SecretBytes(kX25519Bytes)) {
    ERR_clear_error();
    return CodedError(StatusCode::kInvalidArgument, "PEER_KEY_BAD",
                      "the other process's X25519 key is a point of small order");
  }
  return agreed;
}

}  // namespace sotto
