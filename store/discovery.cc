#include "store/discovery.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "crypto/sha256.h"
#include "gossip/base/status_macros.h"
#include "gossip/endpoint_text.h"
#include "store/unix_time.h"

namespace sotto {
namespace {

constexpr size_t kIdChars = 26;
// What DNS allows; also longer than any address.
constexpr size_t kHostBytesMax = 253;

bool IsHostName(std::string_view host) {
  if (host.empty() || host.size() > kHostBytesMax || host.front() == '-' || host.front() == '.') {
    return false;
  }
  const bool sound = std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.';
  });
  // "10.0.3" and "1234" are addresses to some resolvers, and mistakes to everybody.
  const std::string_view last = host.substr(host.rfind('.') + 1);
  return sound && std::any_of(last.begin(), last.end(), [](char c) {
           return absl::ascii_isalpha(static_cast<unsigned char>(c));
         });
}

// Whether one machine can be meant by it.
bool IsSoundHost(std::string_view host) {
  std::optional<Endpoint> ip = ParseIp(host);
  if (!ip) return IsHostName(host);
  if (host.find('%') != std::string_view::npos) return false;  // a scope of the other machine's
  ip->port = 1;
  return !IsUnroutable(*ip);
}

// A collation may take "EDGE" for "edge".
bool IsOfCluster(const SqlResult& result, size_t row, size_t column, std::string_view cluster) {
  const std::string* type = result.Text(row, column);
  const std::string* name = result.Text(row, column + 1);
  return type != nullptr && *type == kDiscoveryType && name != nullptr && *name == cluster;
}

std::optional<DiscoveryRow> ReadRow(const SqlResult& result, size_t row) {
  const std::string* id = result.Text(row, 0);
  const std::string* host = result.Text(row, 3);
  const int64_t* port = result.Number(row, 4);
  const int64_t* last_ping_ms = result.Number(row, 5);
  if (id == nullptr || host == nullptr || port == nullptr || last_ping_ms == nullptr) {
    return std::nullopt;
  }
  if (*port < 1 || *port > 65'535 || !IsSoundHost(*host)) return std::nullopt;
  return DiscoveryRow{*id, *host, static_cast<uint16_t>(*port), *last_ping_ms};
}

// The row may have been refreshed since it was found old.
absl::Status DeleteOld(SqlTransaction& transaction, std::string_view id, int64_t before_ms,
                       size_t* deleted) {
  SOTTO_ASSIGN_OR_RETURN(
      const SqlResult result,
      transaction.Run("DELETE FROM ClusterDiscovery WHERE Id = ? AND LastPingAt < ?",
                      {id, before_ms}));
  *deleted += static_cast<size_t>(std::max<int64_t>(result.changed, 0));
  return absl::OkStatus();
}

}  // namespace

std::string DiscoveryRow::address() const {
  const bool is_v6 = host.find(':') != std::string::npos;
  return is_v6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

std::string DiscoveryId(std::string_view cluster, std::string_view node) {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
  // The length keeps apart what the names alone would not.
  const Hash256 hash = Sha256(absl::StrCat("sotto discovery/1 ", cluster.size(), " ",
                                           std::string(cluster), " ", std::string(node)));
  std::string id;
  for (size_t bit = 0; id.size() < kIdChars; bit += 5) {
    uint32_t pair = static_cast<uint32_t>(hash.bytes[bit / 8]) << 8;
    pair |= hash.bytes[bit / 8 + 1];
    id += kAlphabet[pair >> (11 - bit % 8) & 31];
  }
  return id;
}

DiscoveryTable::DiscoveryTable(std::shared_ptr<Database> database, std::string cluster,
                               std::string_view node, Clock clock)
    : database_(std::move(database)),
      cluster_(std::move(cluster)),
      id_(DiscoveryId(cluster_, node)),
      clock_(clock ? std::move(clock) : Clock(&UnixMillis)) {}

absl::StatusOr<bool> DiscoveryTable::Register(std::string_view host, uint16_t port,
                                              SqlTime deadline) {
  const int64_t number = port;
  bool is_new = false;
  const auto write = [&](SqlTransaction& transaction) -> absl::Status {
    const int64_t now_ms = clock_();
    SOTTO_ASSIGN_OR_RETURN(
        const SqlResult refreshed,
        transaction.Run("UPDATE ClusterDiscovery SET Type = ?, ClusterName = ?, Hostname = ?, "
                        "GossipPort = ?, Port = ?, LastPingAt = ? WHERE Id = ?",
                        {kDiscoveryType, std::string_view(cluster_), host, number, number, now_ms,
                         std::string_view(id_)}));
    is_new = refreshed.changed == 0;
    if (!is_new) return absl::OkStatus();
    constexpr std::array<std::string_view, 8> kColumns = {
        "Id", "Type", "ClusterName", "Hostname", "GossipPort", "Port", "CreateAt", "LastPingAt"};
    return transaction
        .Run(SqlInsertIfAbsent(transaction.dialect(), "ClusterDiscovery", kColumns),
             {std::string_view(id_), kDiscoveryType, std::string_view(cluster_), host, number,
              number, now_ms, now_ms})
        .status();
  };
  SOTTO_RETURN_IF_ERROR(database_->Transact(SqlMode::kLocked, write, deadline));
  return is_new;
}

absl::StatusOr<DiscoveryRows> DiscoveryTable::Read(SqlTime deadline) {
  DiscoveryRows rows;
  const auto read = [&](SqlTransaction& transaction) -> absl::Status {
    rows = DiscoveryRows();
    const int64_t now_ms = clock_();
    // One with a host of a megabyte is not even fetched.
    SOTTO_ASSIGN_OR_RETURN(
        const SqlResult result,
        transaction.Run(
            absl::StrCat("SELECT Id, Type, ClusterName, Hostname, GossipPort, LastPingAt FROM "
                         "ClusterDiscovery WHERE Type = ? AND ClusterName = ? AND LastPingAt > ? "
                         "AND LastPingAt < ? AND LENGTH(Hostname) <= ",
                         kHostBytesMax, " ORDER BY LastPingAt DESC LIMIT ", kDiscoveryRowsMax),
            {kDiscoveryType, std::string_view(cluster_), now_ms - kDiscoveryStaleMs,
             now_ms + kDiscoveryStaleMs}));
    for (size_t i = 0; i < result.rows.size(); ++i) {
      if (!IsOfCluster(result, i, 1, cluster_)) continue;
      std::optional<DiscoveryRow> row = ReadRow(result, i);
      if (!row) {
        ++rows.malformed;
      } else if (row->id == id_) {
        rows.own = *std::move(row);
      } else {
        rows.others.push_back(*std::move(row));
      }
    }
    return absl::OkStatus();
  };
  SOTTO_RETURN_IF_ERROR(database_->Transact(SqlMode::kRead, read, deadline));
  return rows;
}

absl::StatusOr<bool> DiscoveryTable::Remove(SqlTime deadline) {
  bool had_row = false;
  const auto remove = [&](SqlTransaction& transaction) -> absl::Status {
    SOTTO_ASSIGN_OR_RETURN(
        const SqlResult result,
        transaction.Run("DELETE FROM ClusterDiscovery WHERE Id = ?", {std::string_view(id_)}));
    had_row = result.changed > 0;
    return absl::OkStatus();
  };
  SOTTO_RETURN_IF_ERROR(database_->Transact(SqlMode::kLocked, remove, deadline));
  return had_row;
}

absl::StatusOr<size_t> DiscoveryTable::CleanUp(SqlTime deadline) {
  size_t deleted = 0;
  const auto clean = [&](SqlTransaction& transaction) -> absl::Status {
    deleted = 0;
    const int64_t before_ms = clock_() - kDiscoveryKeepMs;
    SOTTO_ASSIGN_OR_RETURN(
        const SqlResult result,
        transaction.Run(absl::StrCat("SELECT Id, Type, ClusterName FROM ClusterDiscovery WHERE "
                                     "Type = ? AND ClusterName = ? AND LastPingAt < ? LIMIT ",
                                     kDiscoveryCleanedMax),
                        {kDiscoveryType, std::string_view(cluster_), before_ms}));
    for (size_t i = 0; i < result.rows.size(); ++i) {
      const std::string* id = result.Text(i, 0);
      if (id == nullptr || !IsOfCluster(result, i, 1, cluster_)) continue;
      SOTTO_RETURN_IF_ERROR(DeleteOld(transaction, *id, before_ms, &deleted));
    }
    return absl::OkStatus();
  };
  SOTTO_RETURN_IF_ERROR(database_->Transact(SqlMode::kLocked, clean, deadline));
  return deleted;
}

}  // namespace sotto
