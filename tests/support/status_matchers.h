// Matchers for absl::Status and StatusOr: IsOk, IsOkAndHolds, HasCode, HasKind.
#ifndef SOTTO_TESTS_SUPPORT_STATUS_MATCHERS_H_
#define SOTTO_TESTS_SUPPORT_STATUS_MATCHERS_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gossip/base/coded_error.h"

namespace sotto {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, negation ? "is an error" : "is OK") {
  *result_listener << Describe(StatusOf(arg));
  return StatusOf(arg).ok();
}

// Carries this code of gossip/base/codes.h.
MATCHER_P(HasCode, code, std::string("has the code ") + code) {
  *result_listener << "which is " << StatusOf(arg).ToString();
  return ErrorCode(StatusOf(arg)) == code;
}

// Has this absl::StatusCode.
MATCHER_P(HasKind, kind, "has the kind " + absl::StatusCodeToString(kind)) {
  *result_listener << "which is " << StatusOf(arg).ToString();
  return StatusOf(arg).code() == kind;
}

MATCHER_P(IsOkAndHolds, inner, "is OK and holds the value") {
  if (!StatusOf(arg).ok()) {
    *result_listener << "which is " << StatusOf(arg).ToString();
    return false;
  }
  return ::testing::ExplainMatchResult(inner, *arg, result_listener);
}

}  // namespace sotto

#define SOTTO_ASSERT_OK(expr) ASSERT_THAT((expr), ::sotto::IsOk())
#define SOTTO_EXPECT_OK(expr) EXPECT_THAT((expr), ::sotto::IsOk())

#endif  // SOTTO_TESTS_SUPPORT_STATUS_MATCHERS_H_
