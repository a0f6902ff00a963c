#include "cmd/config/schema.h"

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "crypto/frame_codec.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/edit_distance.h"
#include "gossip/base/status_macros.h"

namespace sotto {
namespace {

using Node = Config::Node;
using Gossip = Config::Gossip;
using Encryption = Config::Encryption;
using Discovery = Config::Discovery;
using Rotation = Config::Rotation;
using Store = Config::Store;
using Tls = Config::Tls;
using Admin = Config::Admin;
using Log = Config::Log;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMs;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;

template <auto kSection, auto kField>
void Set(Config& config, const Value& value) {
  auto& field = (config.*kSection).*kField;
  field = std::get<std::remove_reference_t<decltype(field)>>(value);
}

template <auto kSection, auto kField>
Value Get(const Config& config) {
  return Value((config.*kSection).*kField);
}

template <auto kKnob>
void SetKnob(Config& config, const Value& value) {
  auto& knob = config.gossip.protocol.*kKnob;
  using Type = std::remove_reference_t<decltype(knob)>;
  if constexpr (std::is_same_v<Type, Duration>) {
    knob = std::get<Duration>(value);
  } else {
    knob = static_cast<Type>(std::get<int64_t>(value));
  }
}

template <auto kKnob>
Value GetKnob(const Config& config) {
  const auto& knob = config.gossip.protocol.*kKnob;
  using Type = std::remove_cvref_t<decltype(knob)>;
  if constexpr (std::is_same_v<Type, Duration>) {
    return Value(knob);
  } else {
    return Value(static_cast<int64_t>(knob));
  }
}

template <auto kSection, auto kField>
constexpr KeySpec Key(std::string_view key, ValueType type, std::string_view fallback,
                      std::string_view doc, std::string_view words = "") {
  return {key,
          type,
          fallback,
          doc,
          words,
          0,
          0,
          false,
          false,
          &Set<kSection, kField>,
          &Get<kSection, kField>};
}

template <auto kKnob>
constexpr KeySpec Time(std::string_view key, int64_t min, int64_t max, std::string_view doc) {
  return {key,
          ValueType::kDuration,
          "",
          doc,
          "",
          min,
          max,
          false,
          true,
          &SetKnob<kKnob>,
          &GetKnob<kKnob>};
}

template <auto kKnob>
constexpr KeySpec Count(std::string_view key, int64_t min, int64_t max, std::string_view doc) {
  return {key,
          ValueType::kInteger,
          "",
          doc,
          "",
          min,
          max,
          false,
          true,
          &SetKnob<kKnob>,
          &GetKnob<kKnob>};
}

constexpr KeySpec Reloadable(KeySpec spec) {
  spec.reloadable = true;
  return spec;
}

constexpr KeySpec Ranged(KeySpec spec, int64_t min, int64_t max) {
  spec.min = min;
  spec.max = max;
  return spec;
}

// Operators know the datagram; the core knows what is left of it inside the frame.
void SetDatagram(Config& config, const Value& value) {
  config.gossip.protocol.packet_bytes_max =
      static_cast<size_t>(std::get<int64_t>(value)) - kFrameOverheadBytes;
}
Value GetDatagram(const Config& config) {
  return Value(static_cast<int64_t>(config.gossip.protocol.packet_bytes_max + kFrameOverheadBytes));
}

void SetLevel(Config& config, const Value& value) {
  const std::string& word = std::get<std::string>(value);
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError}) {
    if (ToString(level) == word) config.log.level = level;
  }
}
Value GetLevel(const Config& config) { return Value(std::string(ToString(config.log.level))); }

constexpr std::array<std::string_view, 3> kFormatWords = {"auto", "text", "json"};
void SetFormat(Config& config, const Value& value) {
  const auto* word =
      std::find(kFormatWords.begin(), kFormatWords.end(), std::get<std::string>(value));
  config.log.format = static_cast<LogFormat>(word - kFormatWords.begin());
}
Value GetFormat(const Config& config) {
  return Value(std::string(kFormatWords[static_cast<size_t>(config.log.format)]));
}

using P = ProtocolOptions;
using enum ValueType;

constexpr KeySpec kSchema[] = {
    Key<&Config::node, &Node::cluster>("node.cluster", kText, "",
                                       "the cluster's name; it stands in every certificate"),
    Key<&Config::node, &Node::name>("node.name", kText, "",
                                    "this node's name; default: the host's name"),
    Reloadable(Key<&Config::node, &Node::tags>("node.tags", kTags, "",
                                               "labels that all members see, 512 bytes in all")),
    Key<&Config::node, &Node::state_dir>("node.state_dir", kPath, "",
                                         "folder of the node's own state; default: /var/lib/sotto "
                                         "for root, else $XDG_STATE_HOME/sotto"),

    Key<&Config::gossip, &Gossip::bind>("gossip.bind", kTextList, "",
                                        "addresses to listen on, UDP and TCP; there is no default"),
    Key<&Config::gossip, &Gossip::advertise>(
        "gossip.advertise", kTextList, "", "addresses told to the others; default: what is bound"),
    Key<&Config::gossip, &Gossip::join>(
        "gossip.join", kTextList, "",
        "up to 64 contacts, tried for ever; one that lives is enough"),
    Key<&Config::gossip, &Gossip::rejoin_after_leave>(
        "gossip.rejoin_after_leave", kBool, "false",
        "dial the peers known before also after `sotto leave`"),
    Key<&Config::gossip, &Gossip::profile>("gossip.profile", kText, "lan", "sets every timer below",
                                           "local|lan|wan"),
    Time<&P::probe_interval>("gossip.probe_interval", 10 * kMs, kHour,
                             "one member is probed in each"),
    Time<&P::probe_timeout>("gossip.probe_timeout", kMs, kHour,
                            "how long a ping may take before others are asked"),
    Count<&P::indirect_probes>("gossip.indirect_probes", 0, 16,
                               "members asked to ping on our behalf"),
    Count<&P::nack_percent>("gossip.nack_percent", 1, 100,
                            "share of the probe timeout after which a nack is sent"),
    Count<&P::suspicion_alpha>("gossip.suspicion_alpha", 1, 100,
                               "least suspicion = alpha * log10(n) * probe interval"),
    Count<&P::suspicion_beta>("gossip.suspicion_beta", 1, 100,
                              "longest suspicion = beta * the least"),
    Count<&P::suspicion_confirmations>("gossip.suspicion_confirmations", 0, 100,
                                       "accusers that bring it down to the least"),
    Count<&P::health_score_max>("gossip.health_score_max", 0, 100,
                                "how far a sick node slows its own probes"),
    Time<&P::gossip_interval>("gossip.gossip_interval", 5 * kMs, kHour,
                              "pause between gossip ticks"),
    Count<&P::gossip_fanout>("gossip.gossip_fanout", 1, 64, "members that a tick sends to"),
    Count<&P::retransmit_mult>("gossip.retransmit_mult", 1, 64,
                               "a broadcast is sent this often, times the digits of n"),
    Count<&P::gossip_bytes_per_s>("gossip.gossip_bytes_per_s", 1024, int64_t{1} << 32,
                                  "limit while a backlog is sent"),
    Time<&P::gossip_to_dead>("gossip.gossip_to_dead", 0, kDay,
                             "how long the dead still get gossip"),
    {"gossip.datagram_bytes_max", kInteger, "", "the largest datagram that is sent", "", 576,
     static_cast<int64_t>(kDatagramBytesMax), false, true, &SetDatagram, &GetDatagram},
    Time<&P::sync_interval>("gossip.sync_interval", 100 * kMs, 7 * kDay,
                            "pause between routine state syncs"),
    Time<&P::sync_settle>("gossip.sync_settle", 0, kHour,
                          "own table still for this long before a sync for a difference"),
    Time<&P::sync_settle_max>("gossip.sync_settle_max", 0, kDay,
                              "such a sync though broadcasts are pending"),
    Time<&P::join_settle>("gossip.join_settle", kMs, kHour,
                          "a joiner's table still for this long before it is compared"),
    Time<&P::join_settle_max>("gossip.join_settle_max", kMs, kHour,
                              "it is compared after this long although it changes"),
    Time<&P::retry_min>("gossip.retry_min", 10 * kMs, kDay,
                        "first pause between attempts on a contact or a dead member"),
    Time<&P::retry_max>("gossip.retry_max", 10 * kMs, kDay, "longest such pause"),
    Time<&P::show_dead>("gossip.show_dead", 0, 365 * kDay, "how long the dead are listed"),
    Time<&P::show_left>("gossip.show_left", 0, 365 * kDay, "how long the left are listed"),
    Time<&P::keep_dead>("gossip.keep_dead", 0, 365 * kDay, "how long the dead are remembered"),
    Time<&P::keep_left>("gossip.keep_left", 0, 365 * kDay, "how long the left are remembered"),
    Count<&P::accusers_max>("gossip.accusers_max", 1, 64, "accusers kept for one member"),
    Count<&P::members_max>("gossip.members_max", 2, 1 << 20, "rows in all, the gone included"),
    Count<&P::lost_members_max>("gossip.lost_members_max", 0, 1 << 20,
                                "addresses retried beyond that memory"),
    Count<&P::accusation_burst>("gossip.accusation_burst", 1, 10'000,
                                "suspicions that one signer may start at once"),
    Count<&P::accusations_per_s>("gossip.accusations_per_s", 1, 10'000, "and then each second"),

    Key<&Config::encryption, &Encryption::allow_weak_key>(
        "encryption.allow_weak_key", kBool, "false",
        "take a key that looks like a word or a pattern"),
    Key<&Config::encryption, &Encryption::allow_hex_looking_key>(
        "encryption.allow_hex_looking_key", kBool, "false",
        "take 32 hex digits as the base64 of 24 bytes"),
    Reloadable(Key<&Config::encryption, &Encryption::kek>(
        "encryption.kek", kText, "",
        "what wraps the cluster's key at rest: file:PATH, folder:PATH, credential:NAME or "
        "env:NAME; "
        "default: none")),
    Reloadable(Key<&Config::encryption, &Encryption::kek_active>(
        "encryption.kek_active", kText, "",
        "of a folder with several, the file whose key wraps; the others unwrap")),
    Reloadable(Key<&Config::encryption, &Encryption::accept_plain_update>(
        "encryption.accept_plain_update", kBool, "false",
        "take a plain key from the row although encryption.kek is set")),

    Key<&Config::store, &Store::url>("store.url", kText, "",
                                     "where the Systems table lies: sqlite:/path, "
                                     "postgres://user@host/database or "
                                     "mysql://user@host/database; default: "
                                     "sqlite:<node.state_dir>/sotto.db"),
    Key<&Config::store, &Store::password_file>(
        "store.password_file", kPath, "",
        "a file, mode 0600, with the password of a server's user"),
    Key<&Config::store, &Store::password>(
        "store.password", kText, "",
        "where else that password lies: credential:NAME or env:NAME; never the password itself"),
    Key<&Config::store, &Store::create>("store.create", kBool, "false",
                                        "make the database file and the table if they are missing"),
    Ranged(Key<&Config::store, &Store::poll>("store.poll", kDuration, "10s",
                                             "pause between looks at the key row"),
           100 * kMs, kDay),
    Key<&Config::store, &Store::when_down>(
        "store.when_down", kText, "cached",
        "a start while the database is away: with the keys sealed in node.state_dir, or not",
        "cached|refuse"),

    Key<&Config::discovery, &Discovery::enabled>(
        "discovery.enabled", kBool, "",
        "find the others through the store's table ClusterDiscovery, and be found; default: true "
        "on a database server, false on SQLite"),
    Ranged(Key<&Config::discovery, &Discovery::interval>(
               "discovery.interval", kDuration, "60s",
               "how often this node's row there is refreshed; others ignore one of 30 minutes"),
           kSecond, 10 * kMinute),

    Ranged(Key<&Config::rotation, &Rotation::interval>(
               "rotation.interval", kDuration, "30d",
               "the leader makes a new cluster key that often; 0s: only by hand"),
           0, 3650 * kDay),
    Ranged(Key<&Config::rotation, &Rotation::retire_after>(
               "rotation.retire_after", kDuration, "24h",
               "so long an old key stays readable; longer while a member has no newer one"),
           0, 3650 * kDay),
    Ranged(Key<&Config::rotation, &Rotation::frames_max>(
               "rotation.frames_max", kInteger, "1099511627776",
               "a node that has sealed so many frames under one key makes a new one; 0: never"),
           0, int64_t{1} << 62),

    Reloadable(Key<&Config::tls, &Tls::ca>("sync.tls.ca", kPath, "",
                                           "certificates of the cluster's CA, PEM")),
    Reloadable(
        Key<&Config::tls, &Tls::cert>("sync.tls.cert", kPath, "", "this node's certificate, PEM")),
    Reloadable(
        Key<&Config::tls, &Tls::key>("sync.tls.key", kPath, "", "its private key, PEM, mode 0600")),
    Reloadable(Key<&Config::tls, &Tls::crl>("sync.tls.crl", kPath, "",
                                            "revocation list, PEM; default: none")),

    Key<&Config::admin, &Admin::socket>(
        "admin.socket", kPath, "",
        "the admin API's Unix socket; default: "
        "/run/sotto/admin.sock or $XDG_RUNTIME_DIR/sotto/admin.sock"),
    Key<&Config::admin, &Admin::group>("admin.group", kText, "",
                                       "a group whose members may use it; default: none"),

    {"log.level", kText, "info", "the least that is written", "debug|info|warn|error", 0, 0, true,
     false, &SetLevel, &GetLevel},
    {"log.format", kText, "auto", "auto: text on a terminal or under systemd, else JSON",
     "auto|text|json", 0, 0, false, false, &SetFormat, &GetFormat},
    Key<&Config::log, &Log::file>("log.file", kPath, "", "default: standard error"),
};

std::string_view ParentOf(std::string_view key) {
  const size_t dot = key.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : key.substr(0, dot);
}

std::string_view LeafOf(std::string_view key) { return key.substr(key.rfind('.') + 1); }

absl::Status WrongType(std::string_view message) {
  return CodedError(absl::StatusCode::kInvalidArgument, "CONFIG_WRONG_TYPE", message);
}

absl::Status OutOfRange(std::string_view message) {
  return CodedError(absl::StatusCode::kInvalidArgument, "CONFIG_OUT_OF_RANGE", message);
}

struct Unit {
  std::string_view word;
  int64_t nanos;
};
constexpr Unit kUnits[] = {{"d", kDay}, {"h", kHour}, {"m", kMinute}, {"s", kSecond},
                           {"ms", kMs}, {"us", 1000}, {"ns", 1}};

// Takes one "1.5s" off the front of `text`, in nanoseconds; nothing if there is none.
std::optional<int64_t> TakeTerm(std::string_view* text) {
  const auto take_digits = [text] {
    size_t n = 0;
    while (n < text->size() && (*text)[n] >= '0' && (*text)[n] <= '9') ++n;
    const std::string digits(text->substr(0, n));
    text->remove_prefix(n);
    return digits;
  };
  const std::string whole = take_digits();
  std::string fraction;
  if (text->starts_with('.')) {
    text->remove_prefix(1);
    fraction = take_digits();
    if (fraction.empty() || fraction.size() > 9) return std::nullopt;
  }
  size_t letters = 0;
  while (letters < text->size() && (*text)[letters] >= 'a' && (*text)[letters] <= 'z') ++letters;
  const std::string_view word = text->substr(0, letters);
  text->remove_prefix(letters);
  const auto* unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                                  [word](const Unit& u) { return u.word == word; });
  int64_t count = 0, nanos = 0;
  if (unit == std::end(kUnits) || whole.empty() || !absl::SimpleAtoi(whole, &count)) {
    return std::nullopt;
  }
  if (__builtin_mul_overflow(count, unit->nanos, &nanos)) return std::nullopt;
  int64_t scale = unit->nanos;
  for (const char digit : fraction) {
    scale /= 10;
    if (__builtin_add_overflow(nanos, (digit - '0') * scale, &nanos)) return std::nullopt;
  }
  return nanos;
}

std::vector<std::string> SplitList(std::string_view text) {
  if (text.empty()) return {};
  std::vector<std::string> parts = absl::StrSplit(std::string(text), ',');
  for (std::string& part : parts) absl::StripAsciiWhitespace(&part);
  return parts;
}

absl::StatusOr<Value> ParseTags(std::string_view text) {
  std::vector<Tag> tags;
  for (const std::string& part : SplitList(text)) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos) return WrongType("want key=value,key=value");
    tags.push_back({part.substr(0, equals), part.substr(equals + 1)});
  }
  std::sort(tags.begin(), tags.end());
  return Value(std::move(tags));
}

bool HasControlCharacter(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

absl::Status CheckText(const KeySpec& spec, const std::string& text) {
  if (HasControlCharacter(text)) return OutOfRange("it holds a control character");
  if (spec.words.empty()) return absl::OkStatus();
  const std::vector<std::string> words = absl::StrSplit(std::string(spec.words), '|');
  if (std::find(words.begin(), words.end(), text) != words.end()) return absl::OkStatus();
  return OutOfRange(absl::StrCat("\"", text, "\" is none of ", absl::StrJoin(words, ", ")));
}

}  // namespace

std::span<const KeySpec> ConfigSchema() { return kSchema; }

const KeySpec* FindKey(std::string_view key) {
  for (const KeySpec& spec : kSchema) {
    if (spec.key == key) return &spec;
  }
  return nullptr;
}

bool IsSection(std::string_view section) {
  const std::string prefix = absl::StrCat(std::string(section), ".");
  return std::any_of(std::begin(kSchema), std::end(kSchema),
                     [&prefix](const KeySpec& spec) { return spec.key.starts_with(prefix); });
}

std::string NearestKey(std::string_view key) {
  std::vector<std::string_view> candidates = {kHandlerKey};
  for (const KeySpec& spec : kSchema) {
    candidates.push_back(spec.key);
    for (std::string_view up = ParentOf(spec.key); !up.empty(); up = ParentOf(up)) {
      if (std::find(candidates.begin(), candidates.end(), up) == candidates.end()) {
        candidates.push_back(up);
      }
    }
  }
  std::string_view best;
  size_t best_distance = std::numeric_limits<size_t>::max();
  for (const std::string_view candidate : candidates) {
    size_t distance = EditDistance(key, candidate);
    // The right word in the wrong section counts as one slip.
    if (ParentOf(key) != ParentOf(candidate)) {
      distance = std::min(distance, EditDistance(LeafOf(key), LeafOf(candidate)) + 1);
    }
    const bool is_near = distance <= 1 + LeafOf(candidate).size() / 4;
    if (is_near && distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return std::string(best);
}

std::string EnvironmentName(std::string_view key) {
  return absl::StrCat("SOTTO_",
                      absl::AsciiStrToUpper(absl::StrReplaceAll(std::string(key), {{".", "__"}})));
}

absl::StatusOr<Duration> ParseDuration(std::string_view text) {
  int64_t sum = 0;
  std::string_view rest = text;
  do {
    const std::optional<int64_t> term = TakeTerm(&rest);
    if (!term.has_value()) return WrongType("want a duration such as \"500ms\", \"10s\", \"7d\"");
    if (__builtin_add_overflow(sum, *term, &sum)) return OutOfRange("the duration is too long");
  } while (!rest.empty());
  return Duration::Nanos(sum);
}

std::string ToText(Duration duration) {
  const int64_t nanos = duration.nanos();
  if (nanos == 0) return "0s";
  for (const Unit& unit : kUnits) {
    if (nanos % unit.nanos == 0) return absl::StrCat(nanos / unit.nanos, std::string(unit.word));
  }
  return absl::StrCat(nanos, "ns");
}

absl::StatusOr<Value> ParseValue(const KeySpec& spec, std::string_view text) {
  switch (spec.type) {
    case kText:
    case kPath:
      return Value(std::string(text));
    case kTextList:
      return Value(SplitList(text));
    case kBool:
      if (text == "true") return Value(true);
      if (text == "false") return Value(false);
      return WrongType("want true or false");
    case kInteger: {
      int64_t number = 0;
      if (!absl::SimpleAtoi(std::string(text), &number)) return WrongType("want a whole number");
      return Value(number);
    }
    case kDuration: {
      SOTTO_ASSIGN_OR_RETURN(const Duration duration, ParseDuration(text));
      return Value(duration);
    }
    case kTags:
      return ParseTags(text);
  }
  return WrongType("no such type");
}

absl::Status CheckValue(const KeySpec& spec, const Value& value) {
  const bool is_ranged = spec.min != 0 || spec.max != 0;
  if (const auto* text = std::get_if<std::string>(&value)) return CheckText(spec, *text);
  if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    for (const std::string& text : *texts) SOTTO_RETURN_IF_ERROR(CheckText(spec, text));
  }
  if (const auto* number = std::get_if<int64_t>(&value)) {
    if (is_ranged && (*number < spec.min || *number > spec.max)) {
      return OutOfRange(absl::StrCat(*number, " is outside ", spec.min, " to ", spec.max));
    }
  }
  if (const auto* duration = std::get_if<Duration>(&value)) {
    if (is_ranged && (duration->nanos() < spec.min || duration->nanos() > spec.max)) {
      return OutOfRange(absl::StrCat(ToText(*duration), " is outside ",
                                     ToText(Duration::Nanos(spec.min)), " to ",
                                     ToText(Duration::Nanos(spec.max))));
    }
  }
  return absl::OkStatus();
}

std::string QuoteToml(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      absl::StrAppendFormat(&quoted, "\\u%04x", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string ToToml(const Value& value) {
  struct Writer {
    std::string operator()(const std::string& text) const { return QuoteToml(text); }
    std::string operator()(const std::vector<std::string>& texts) const {
      std::vector<std::string> quoted;
      for (const std::string& text : texts) quoted.push_back(QuoteToml(text));
      return absl::StrCat("[", absl::StrJoin(quoted, ", "), "]");
    }
    std::string operator()(bool yes) const { return yes ? "true" : "false"; }
    std::string operator()(int64_t number) const { return absl::StrCat(number); }
    std::string operator()(Duration duration) const { return QuoteToml(ToText(duration)); }
    std::string operator()(const std::vector<Tag>& tags) const {
      if (tags.empty()) return "{}";
      std::vector<std::string> pairs;
      for (const Tag& tag : tags) {
        pairs.push_back(absl::StrCat(QuoteToml(tag.key), " = ", QuoteToml(tag.value)));
      }
      return absl::StrCat("{ ", absl::StrJoin(pairs, ", "), " }");
    }
  };
  return std::visit(Writer{}, value);
}

std::string ConfigReference() {
  constexpr std::array<std::string_view, 7> kTypeWords = {
      "text", "text or list", "true or false", "number", "duration", "table of texts", "path"};
  std::string out = "| key | type | default | meaning |\n|---|---|---|---|\n";
  for (const KeySpec& spec : kSchema) {
    const std::string words = absl::StrReplaceAll(std::string(spec.words), {{"|", ", "}});
    const std::string_view fallback = spec.from_profile       ? "from the profile"
                                      : spec.fallback.empty() ? ""
                                                              : spec.fallback;
    absl::StrAppend(&out, "| `", std::string(spec.key), "` | ",
                    words.empty() ? std::string(kTypeWords[static_cast<size_t>(spec.type)]) : words,
                    " | ", std::string(fallback), " | ", std::string(spec.doc),
                    spec.reloadable ? " (reloaded by SIGHUP)" : "", " |\n");
  }
  absl::StrAppend(&out,
                  "| `[[handler]]` | tables with `on`, `run`, `timeout`, `queue`, `batch` | none | "
                  "programs to run on events (reloaded by SIGHUP) |\n");
  return out;
}

}  // namespace sotto
