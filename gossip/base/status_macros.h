// Early return of errors, for functions that return absl::Status or absl::StatusOr.
#ifndef SOTTO_GOSSIP_BASE_STATUS_MACROS_H_
#define SOTTO_GOSSIP_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define SOTTO_CONCAT_INNER(a, b) a##b
#define SOTTO_CONCAT(a, b) SOTTO_CONCAT_INNER(a, b)

// Returns the status of `expr` if it is an error.
#define SOTTO_RETURN_IF_ERROR(expr)                \
  do {                                             \
    absl::Status sotto_status_ = (expr);           \
    if (!sotto_status_.ok()) return sotto_status_; \
  } while (false)

// Evaluates a StatusOr; returns its status if it is an error, else assigns its value to `lhs`.
#define SOTTO_ASSIGN_OR_RETURN(lhs, expr) \
  SOTTO_ASSIGN_OR_RETURN_INNER(SOTTO_CONCAT(sotto_value_or_, __LINE__), lhs, expr)
#define SOTTO_ASSIGN_OR_RETURN_INNER(value_or, lhs, expr)  \
  auto value_or = (expr);                                  \
  if (!value_or.ok()) return std::move(value_or).status(); \
  lhs = std::move(value_or).value()

#endif  // SOTTO_GOSSIP_BASE_STATUS_MACROS_H_
