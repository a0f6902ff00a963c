// Which key-encryption keys the living members have loaded, by their own word: a value that is
// wrapped under another one is lost to them at the next look.
// Threads: none; Ask blocks for two seconds at most.
#ifndef SOTTO_CMD_SOTTO_COMMANDS_KEK_HOLDERS_H_
#define SOTTO_CMD_SOTTO_COMMANDS_KEK_HOLDERS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cmd/sotto/context.h"
#include "cmd/sotto/rotation/key_calls.h"
#include "crypto/kek.h"

namespace sotto::cli {

class KekHolders {
 public:
  // Asks by way of the daemon here. Nothing where none answers, or it is of another cluster.
  static std::optional<KekHolders> Ask(const Context& context, const std::string& cluster);

  size_t living() const { return living_.size(); }
  std::vector<std::string> Having(const KekId& kek) const;
  std::vector<std::string> Lacking(const KekId& kek) const;
  // Living, and without an answer.
  std::vector<std::string> Silent() const;
  // Dead, and known to the store.
  const std::vector<std::string>& Absent() const { return absent_; }
  // KEK_NOT_LOADED: a member that is not to `skip` lacks one of them, or does not say.
  absl::Status Check(const std::vector<KekId>& keks, const std::vector<std::string>& skip) const;

 private:
  std::vector<std::string> NamesOf(const KekId& kek, bool having) const;

  std::vector<KeyHolder> living_;
  std::vector<std::string> absent_;
};

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_COMMANDS_KEK_HOLDERS_H_
