// CRC-32 as in Ethernet: any single flipped bit and any burst of up to 32 bits is noticed.
// It guards files against disks, not against people.
#ifndef SOTTO_STORE_CRC32_H_
#define SOTTO_STORE_CRC32_H_

#include <cstdint>
#include <string_view>

namespace sotto {

inline uint32_t Crc32(std::string_view bytes) {
  uint32_t crc = 0xffffffffu;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

}  // namespace sotto

#endif  // SOTTO_STORE_CRC32_H_
