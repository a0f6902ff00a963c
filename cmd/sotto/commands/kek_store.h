// sotto kek ls, check and rekey: the key-encryption keys beside what the store holds.
#ifndef SOTTO_CMD_SOTTO_COMMANDS_KEK_STORE_H_
#define SOTTO_CMD_SOTTO_COMMANDS_KEK_STORE_H_

#include "cmd/sotto/verb.h"

namespace sotto::cli {

void AddKekStoreVerbs(Verb& kek);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_COMMANDS_KEK_STORE_H_
