// How a rotation shows itself on err(), by --progress: a block that redraws on a terminal, one line
// for each change elsewhere, JSON lines for programs, or nothing.
#ifndef SOTTO_CMD_SOTTO_ROTATION_ROTATION_VIEW_H_
#define SOTTO_CMD_SOTTO_ROTATION_ROTATION_VIEW_H_

#include <memory>

#include "cmd/sotto/context.h"
#include "cmd/sotto/rotation/rotation.h"

namespace sotto::cli {

// `context` is borrowed.
std::unique_ptr<RotationView> MakeRotationView(Context& context);

}  // namespace sotto::cli

#endif  // SOTTO_CMD_SOTTO_ROTATION_ROTATION_VIEW_H_
