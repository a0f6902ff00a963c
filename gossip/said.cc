#include "gossip/said.h"

#include <algorithm>

namespace sotto {
namespace {

// Around everything said: kind, cluster, subject, incarnation, certificate, signature, with their
// tags and lengths, and the tags and lengths of the part that is said itself.
constexpr size_t kBodyBytes = 2 + 3 + 3 + 9 + 34 + 64;
constexpr size_t kSaidFrame = 5;  // tag of two bytes, length of up to three
constexpr size_t kTextFrame = 4;
constexpr size_t kFixedField = 9;
constexpr size_t kSmallField = 7;

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-' || c == ':' || c == '/';
}

size_t FilterBytes(const QueryFilter& filter) {
  size_t bytes = 0;
  for (const std::string& name : filter.names) bytes += name.size();
  for (const Tag& tag : filter.tags) bytes += tag.key.size() + tag.value.size();
  return bytes;
}

struct SizeOfSaid {
  size_t operator()(const SaidEvent& event) const {
    return 2 * kTextFrame + event.name.size() + event.payload.size() + kFixedField + kSmallField;
  }
  size_t operator()(const SaidQuery& query) const {
    const size_t texts = 2 + query.filter.names.size() + 2 * query.filter.tags.size();
    return texts * kTextFrame + query.name.size() + query.payload.size() +
           FilterBytes(query.filter) + kFixedField + 3 * kSmallField;
  }
  size_t operator()(const SaidAnswer& answer) const {
    return 3 * kTextFrame + answer.query.size() + answer.origin.size() + answer.payload.size() +
           kSmallField;
  }
};

struct SoundSaid {
  bool operator()(const SaidEvent& event) const {
    return IsValidSaidName(event.name) && !IsInternalName(event.name) &&
           event.name.size() + event.payload.size() <= kUserEventBytesMax && event.lamport > 0 &&
           event.lamport < kLamportEnd;
  }
  bool operator()(const SaidQuery& query) const {
    return IsValidSaidName(query.name) &&
           query.name.size() + query.payload.size() <= kUserEventBytesMax && query.lamport > 0 &&
           query.lamport < kLamportEnd && query.timeout_ms > 0 &&
           query.timeout_ms <= kQueryTimeoutMsMax && query.relays <= kQueryRelaysMax &&
           IsValidFilter(query.filter);
  }
  bool operator()(const SaidAnswer& answer) const {
    return IsValidMemberName(answer.origin) && answer.payload.size() <= kAnswerBytesMax &&
           (!answer.is_ack || answer.payload.empty());
  }
};

}  // namespace

QueryKey KeyOfQuery(const Hash256& query) {
  QueryKey key{};
  std::copy_n(query.bytes.begin(), key.size(), key.begin());
  return key;
}

bool IsInternalName(std::string_view name) { return name.starts_with(kInternalPrefix); }

bool IsValidSaidName(std::string_view name) {
  if (name.empty() || name.size() > kSaidNameBytesMax) return false;
  if (IsInternalName(name)) name.remove_prefix(kInternalPrefix.size());
  if (name.empty() || name.front() == '.' || name.front() == '_' || name.front() == '-' ||
      name.front() == ':' || name.front() == '/') {
    return false;
  }
  return std::all_of(name.begin(), name.end(), IsNameByte);
}

bool IsValidFilter(const QueryFilter& filter) {
  if (filter.names.size() > kFilterNamesMax || filter.tags.size() > kFilterTagsMax ||
      FilterBytes(filter) > kFilterBytesMax) {
    return false;
  }
  const auto is_glob = [](const std::string& glob) {
    return !glob.empty() && glob.size() <= kMemberNameBytesMax &&
           std::all_of(glob.begin(), glob.end(), [](char c) {
             return c == '*' || c == '?' || (IsNameByte(c) && c != ':' && c != '/');
           });
  };
  return std::all_of(filter.names.begin(), filter.names.end(), is_glob) &&
         std::all_of(filter.tags.begin(), filter.tags.end(),
                     [](const Tag& tag) { return IsValidMemberName(tag.key); });
}

bool IsSoundSaid(const Said& said) { return std::visit(SoundSaid{}, said); }

// The last star is the only one that ever has to give way.
bool MatchesGlob(std::string_view glob, std::string_view text) {
  size_t g = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t star_text = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      star_text = t;
    } else if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t])) {
      ++g;
      ++t;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

bool Matches(const QueryFilter& filter, std::string_view name, const std::vector<Tag>& tags) {
  const bool named = filter.names.empty() || std::any_of(filter.names.begin(), filter.names.end(),
                                                         [name](const std::string& glob) {
                                                           return MatchesGlob(glob, name);
                                                         });
  return named && std::all_of(filter.tags.begin(), filter.tags.end(), [&tags](const Tag& wanted) {
           return std::any_of(tags.begin(), tags.end(), [&wanted](const Tag& tag) {
             return tag.key == wanted.key && MatchesGlob(wanted.value, tag.value);
           });
         });
}

size_t SaidStatementBytesMax(const Said& said, size_t cluster_bytes, size_t name_bytes) {
  return kBodyBytes + cluster_bytes + name_bytes + kSaidFrame + std::visit(SizeOfSaid{}, said);
}

}  // namespace sotto
