#include "tools/bench/switched_sql.h"

#include <string>
#include <utility>

#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"

namespace sotto::bench {
namespace {

absl::Status Check(const SqlSwitch& away) {
  if (!*away) return absl::OkStatus();
  return CodedError(absl::StatusCode::kUnavailable, "DB_REFUSED",
                    "the database was taken away from this node");
}

class SwitchedConnection final : public SqlConnection {
 public:
  SwitchedConnection(std::unique_ptr<SqlConnection> inner, SqlSwitch away)
      : inner_(std::move(inner)), away_(std::move(away)) {}

  SqlDialect dialect() const override { return inner_->dialect(); }
  bool IsUsable() override { return !*away_ && inner_->IsUsable(); }
  absl::StatusOr<SqlResult> Run(std::string_view sql, std::span<const SqlParam> params,
                                SqlTime deadline) override {
    SOTTO_RETURN_IF_ERROR(Check(away_));
    return inner_->Run(sql, params, deadline);
  }
  absl::Status Begin(SqlMode mode, SqlTime deadline) override {
    SOTTO_RETURN_IF_ERROR(Check(away_));
    return inner_->Begin(mode, deadline);
  }
  absl::Status Commit(SqlTime deadline) override {
    SOTTO_RETURN_IF_ERROR(Check(away_));
    return inner_->Commit(deadline);
  }
  // Always: the lock of the file must go.
  absl::Status Rollback(SqlTime deadline) override { return inner_->Rollback(deadline); }

 private:
  const std::unique_ptr<SqlConnection> inner_;
  const SqlSwitch away_;
};

class SwitchedDriver final : public SqlDriver {
 public:
  SwitchedDriver(std::unique_ptr<SqlDriver> inner, SqlSwitch away)
      : inner_(std::move(inner)), away_(std::move(away)) {}

  SqlDialect dialect() const override { return inner_->dialect(); }
  const std::string& display_url() const override { return inner_->display_url(); }
  absl::StatusOr<std::unique_ptr<SqlConnection>> Connect(bool may_create,
                                                         SqlTime deadline) override {
    SOTTO_RETURN_IF_ERROR(Check(away_));
    SOTTO_ASSIGN_OR_RETURN(std::unique_ptr<SqlConnection> made,
                           inner_->Connect(may_create, deadline));
    return std::make_unique<SwitchedConnection>(std::move(made), away_);
  }

 private:
  const std::unique_ptr<SqlDriver> inner_;
  const SqlSwitch away_;
};

}  // namespace

std::unique_ptr<SqlDriver> MakeSwitchedDriver(std::unique_ptr<SqlDriver> driver, SqlSwitch away) {
  return std::make_unique<SwitchedDriver>(std::move(driver), std::move(away));
}

}  // namespace sotto::bench
