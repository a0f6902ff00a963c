#include "crypto/sha256.h"

#include <openssl/evp.h>

#include "gossip/base/check.h"

namespace sotto {

Hash256 Sha256(std::string_view bytes) {
  Hash256 hash;
  // Fails only where OpenSSL has no SHA-256 or no memory: then nothing here can work.
  SOTTO_CHECK(EVP_Digest(bytes.data(), bytes.size(), hash.bytes.data(), nullptr, EVP_sha256(),
                         nullptr) == 1);
  return hash;
}

}  // namespace sotto
