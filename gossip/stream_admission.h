// How many connections, and what for, others may have open towards this node.
//
// Threads: one strand, destroying a place included. Ownership: places keep what they are counted
// in, so that they may outlive the admission: a coroutine's parameters are destroyed in an order
// of the compiler's.
#ifndef SOTTO_GOSSIP_STREAM_ADMISSION_H_
#define SOTTO_GOSSIP_STREAM_ADMISSION_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>

namespace sotto {

// Caps on what others open towards us: by address while nobody has shown a certificate, by name
// afterwards.
class StreamAdmission {
  struct Count {
    size_t total = 0;
    std::map<std::string, size_t> by_key;
  };

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
    ~Place();
    Place(Place&& other) noexcept = default;  // leaves an empty one
    Place& operator=(Place&& other) noexcept;
    explicit operator bool() const { return count_ != nullptr; }

   private:
    friend class StreamAdmission;
    Place(std::shared_ptr<Count> count, std::string key);

    std::shared_ptr<Count> count_;
    std::string key_;
  };

  // Empty places when a cap is reached.
  Place AdmitAddress(const std::string& address);
  Place AdmitName(const std::string& name);
  Place AdmitSync();

 private:
  static Place Admit(const std::shared_ptr<Count>& count, const std::string& key, size_t total_max,
                     size_t per_key_max);

  const std::shared_ptr<Count> unknown_ = std::make_shared<Count>();
  const std::shared_ptr<Count> known_ = std::make_shared<Count>();
  const std::shared_ptr<Count> syncs_ = std::make_shared<Count>();
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_STREAM_ADMISSION_H_
