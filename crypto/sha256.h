// SHA-256, the one hash by which statements, certificates and boot ids are known.
#ifndef SOTTO_CRYPTO_SHA256_H_
#define SOTTO_CRYPTO_SHA256_H_

#include <string_view>

#include "gossip/member.h"

namespace sotto {

Hash256 Sha256(std::string_view bytes);

}  // namespace sotto

#endif  // SOTTO_CRYPTO_SHA256_H_
