// Any text as a certificate's URI: the one text of an identity, or CERT_NO_IDENTITY.
#include <cstdint>
#include <string_view>

#include "crypto/certificate.h"
#include "gossip/base/check.h"
#include "gossip/base/coded_error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view uri(reinterpret_cast<const char*>(data), size);
  const auto identity = sotto::ParseIdentityUri(uri);
  if (!identity.ok()) {
    SOTTO_CHECK(sotto::ErrorCode(identity.status()) == "CERT_NO_IDENTITY");
    return 0;
  }
  SOTTO_CHECK(sotto::IsValidClusterName(identity->cluster));
  SOTTO_CHECK(sotto::IsValidMemberName(identity->name));
  SOTTO_CHECK(sotto::ToUri(*identity) == uri);
  return 0;
}
