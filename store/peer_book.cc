#include "store/peer_book.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gossip/base/coded_error.h"
#include "gossip/endpoint_text.h"
#include "gossip/statement.h"
#include "store/crc32.h"
#include "store/file_rules.h"

namespace sotto {
namespace {

constexpr char kFileName[] = "peers";
constexpr char kHead[] = "sotto-peers 1";

std::string AddressesText(const std::vector<Endpoint>& addresses) {
  return absl::StrJoin(addresses, ",", [](std::string* out, const Endpoint& address) {
    out->append(ToString(address));
  });
}

}  // namespace

PeerBook::PeerBook(const std::string& folder, std::string_view cluster, std::string_view name)
    : path_(absl::StrCat(folder, "/", kFileName)), cluster_(cluster), name_(name) {
  const absl::StatusOr<std::string> text = ReadPlainFile(path_, kFileBytesMax);
  const std::string code = ErrorCode(text.status());
  if (code == "FILE_MISSING") return;
  if (text.ok()) {
    recovered_ = Parse(*text);
  } else if (code == "FILE_TOO_LONG") {
    recovered_ =
        MoveAside(CodedError(absl::StatusCode::kDataLoss, "PEERS_DAMAGED",
                             absl::StrCat(path_, ": longer than this node ever writes it")));
  } else {
    may_write_ = false;
    recovered_ = CodedError(absl::StatusCode::kPermissionDenied, "PEERS_UNREADABLE",
                            std::string(text.status().message()));
  }
}

std::vector<KnownPeer> PeerBook::Peers() const {
  std::vector<KnownPeer> out;
  for (const auto& [name, peer] : peers_) out.push_back(peer);
  std::stable_sort(out.begin(), out.end(), [](const KnownPeer& a, const KnownPeer& b) {
    return a.seen_unix_s > b.seen_unix_s;
  });
  return out;
}

void PeerBook::Set(KnownPeer peer) {
  if (!IsValidMemberName(peer.name) || peer.name == name_) return;
  std::erase_if(peer.addresses, IsUnroutable);
  if (peer.addresses.size() > kAddressesMax) peer.addresses.resize(kAddressesMax);
  if (peer.addresses.empty()) return;
  peer.seen_unix_s = std::max<int64_t>(peer.seen_unix_s, 0);
  std::string name = peer.name;
  peers_.insert_or_assign(std::move(name), std::move(peer));
  if (peers_.size() <= kPeersMax) return;
  peers_.erase(std::min_element(peers_.begin(), peers_.end(), [](const auto& a, const auto& b) {
    return a.second.seen_unix_s < b.second.seen_unix_s;
  }));
}

void PeerBook::Remove(std::string_view name) {
  const auto found = peers_.find(name);
  if (found != peers_.end()) peers_.erase(found);
}

absl::Status PeerBook::Save() {
  if (!may_write_) return recovered_;
  std::string text = Format();
  if (text == on_disk_) return absl::OkStatus();
  const absl::Status written = AtomicWrite(path_, text, 0600);
  if (!written.ok()) {
    return CodedError(written.code(), "PEERS_UNWRITABLE",
                      absl::StrCat("the list of peers can't be kept: ", written.message()));
  }
  on_disk_ = std::move(text);
  return absl::OkStatus();
}

std::string PeerBook::Format() const {
  std::string text = absl::StrCat(kHead, "\ncluster ", cluster_, "\nnode ", name_, "\nstate ",
                                  left_ ? "left" : "member", "\n");
  for (const auto& [name, peer] : peers_) {
    absl::StrAppend(&text, "peer ", name, " ", peer.seen_unix_s, " ", AddressesText(peer.addresses),
                    "\n");
  }
  absl::StrAppendFormat(&text, "crc32 %08x\n", Crc32(text));
  return text;
}

// One line of what follows the head; false if it says nothing that could be meant.
bool PeerBook::ParseLine(const std::string& line) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ');
  if (words.size() == 2 && words[0] == "state") {
    left_ = words[1] == "left";
    return left_ || words[1] == "member";
  }
  KnownPeer peer;
  if (words.size() != 4 || words[0] != "peer" || peers_.size() >= kPeersMax ||
      !IsValidMemberName(words[1]) || words[1] == name_ ||
      !absl::SimpleAtoi(words[2], &peer.seen_unix_s) || peer.seen_unix_s < 0) {
    return false;
  }
  peer.name = words[1];
  const std::vector<std::string> addresses = absl::StrSplit(words[3], ',');
  for (const std::string& text : addresses) {
    const absl::StatusOr<Endpoint> address = ParseEndpoint(text);
    if (!address.ok() || IsUnroutable(*address)) return false;
    peer.addresses.push_back(*address);
  }
  Set(std::move(peer));
  return true;
}

absl::Status PeerBook::Parse(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  const bool is_ours = lines.size() > 2 && lines[0] == kHead &&
                       lines[1] == absl::StrCat("cluster ", cluster_) &&
                       lines[2] == absl::StrCat("node ", name_);
  if (!is_ours) {
    return MoveAside(CodedError(absl::StatusCode::kFailedPrecondition, "PEERS_FOREIGN",
                                absl::StrCat(path_, ": not the list of node \"", name_,
                                             "\" of cluster \"", cluster_, "\"")));
  }
  size_t bad = 0;
  for (size_t i = 3; i < lines.size(); ++i) {
    if (lines[i].empty() || lines[i].starts_with("crc32 ")) continue;
    bad += ParseLine(lines[i]) ? 0 : 1;
  }
  // What was read makes the same text again, or something was lost.
  if (Format() == text) {
    on_disk_ = text;
    return absl::OkStatus();
  }
  return MoveAside(CodedError(absl::StatusCode::kDataLoss, "PEERS_DAMAGED",
                              absl::StrCat(path_, ": damaged; ", peers_.size(),
                                           " entries could be read, ", bad, " lines could not")));
}

// Without that, a first save would destroy what a person might still want to look at.
absl::Status PeerBook::MoveAside(absl::Status why) {
  const std::string aside = path_ + ".corrupt";
  if (std::rename(path_.c_str(), aside.c_str()) == 0) {
    return CodedError(why.code(), ErrorCode(why),
                      absl::StrCat(why.message(), "; moved to ", aside));
  }
  may_write_ = false;
  return CodedError(why.code(), ErrorCode(why),
                    absl::StrCat(why.message(), "; it can't be moved aside (errno ", errno,
                                 "), so nothing will be written"));
}

}  // namespace sotto
