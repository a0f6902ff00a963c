// How many connections, and what for, others may have open towards this node.
//
// Threads: one strand. Ownership: places refer to the admission, which must outlive them.
#ifndef SOTTO_GOSSIP_STREAM_ADMISSION_H_
#define SOTTO_GOSSIP_STREAM_ADMISSION_H_

#include <cstddef>
#include <map>
#include <string>

namespace sotto {

// Caps on what others open towards us: by address while nobody has shown a certificate, by name
// afterwards.
class StreamAdmission {
 public:
  static constexpr size_t kUnknownMax = 256;
  static constexpr size_t kUnknownPerAddressMax = 128;
  static constexpr size_t kKnownMax = 128;
  static constexpr size_t kKnownPerNameMax = 4;
  static constexpr size_t kSyncsMax = 32;

  // Counts one place for as long as it lives.
  class Place {
   public:
    Place() = default;
    Place(size_t* total, std::map<std::string, size_t>* by_key, std::string key);
    ~Place();
    Place(Place&& other) noexcept;
    Place& operator=(Place&& other) noexcept;
    explicit operator bool() const { return total_ != nullptr; }

   private:
    size_t* total_ = nullptr;
    std::map<std::string, size_t>* by_key_ = nullptr;
    std::string key_;
  };

  // Empty places when a cap is reached.
  Place AdmitAddress(const std::string& address);
  Place AdmitName(const std::string& name);
  Place AdmitSync();

 private:
  size_t unknown_ = 0, known_ = 0, syncs_ = 0;
  std::map<std::string, size_t> by_address_, by_name_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_STREAM_ADMISSION_H_
