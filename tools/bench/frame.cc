// Measures what one datagram costs: seal and open beside OpenSSL's own AES-GCM, and signing and
// verifying a statement; with the heap allocations of each.
//
//   frame [--json] [--statements] [--batches 300] [--quick]
//
// A batch seals 128 frames, then opens them; OpenSSL does the same in turn with us, so that both
// see the same moment of the machine. Figures are medians over the batches. "pooled" keeps one pair
// at work, whose contexts stay keyed; "rekeyed" goes round 40 pairs, so that each frame takes over
// a context of the pool of 16.
// Exit 0: measured; 1: something was refused; 2: not understood.
#include <CLI/CLI.hpp>
#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <ctime>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "crypto/authority.h"
#include "crypto/certificate.h"
#include "crypto/frame_codec.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/endpoint_text.h"
#include "gossip/statement_codec.h"
#include "tools/bench/allocations.h"
#include "tools/bench/measure.h"
#include "tools/bench/openssl_gcm.h"

namespace sotto::bench {
namespace {

constexpr char kCluster[] = "bench";
constexpr size_t kFramesPerBatch = 128;  // within a replay window
constexpr size_t kPairs = 40;            // more than the pool of contexts
constexpr std::array<size_t, 3> kSizes = {64, 200, 1400};
constexpr std::array<size_t, 3> kKeyBytes = {16, 24, 32};

struct Flags {
  size_t batches = 300;
  bool json = false;
  bool statements = false;
  bool quick = false;
};

// Something that cannot fail has failed: the figures would mean nothing.
absl::Status Refused(std::string_view what) {
  return absl::InternalError(absl::StrCat(std::string(what), " was refused"));
}

// One process with its key and those whom it knows.
class Process {
 public:
  Process(ProcessIdentityRef identity, ClusterKeyRef key)
      : codec_(std::move(identity), &ring_, [this](const BootId& id) -> const FramePeer* {
          const auto at = known_.find(id);
          return at == known_.end() ? nullptr : &at->second;
        }) {
    ring_.Install(std::move(key)).IgnoreError();
  }
  FrameCodec& codec() { return codec_; }
  FramePeer peer() const { return {codec_.self().boot_id(), codec_.self().x25519_public()}; }
  void Know(const Process& other) { known_[other.codec_.self().boot_id()] = other.peer(); }

 private:
  Keyring ring_;
  std::map<BootId, FramePeer> known_;
  FrameCodec codec_;
};

// What one kind of batch has cost, an operation.
struct Cost {
  std::vector<double> ns;
  uint64_t allocations = 0;
  uint64_t operations = 0;

  double Ns() const { return Median(ns); }
  double Allocations() const {
    return operations == 0 ? 0 : static_cast<double>(allocations) / static_cast<double>(operations);
  }
};

// Runs `operation` for each of `count`; false as soon as one fails.
bool Time(size_t count, Cost& cost, const std::function<bool(size_t)>& operation) {
  const uint64_t before = Allocations();
  const Clock::time_point begun = Clock::now();
  for (size_t i = 0; i < count; ++i) {
    if (!operation(i)) return false;
  }
  const double seconds = Seconds(Clock::now() - begun);
  cost.allocations += Allocations() - before;
  cost.operations += count;
  cost.ns.push_back(seconds * 1e9 / static_cast<double>(count));
  return true;
}

class FrameBench {
 public:
  static absl::StatusOr<std::unique_ptr<FrameBench>> Create(size_t key_bytes, size_t pairs) {
    auto bench = std::unique_ptr<FrameBench>(new FrameBench());
    SecretBytes bytes(key_bytes);
    uint8_t value = 1;
    for (uint8_t& byte : bytes.mutable_view()) byte = value = static_cast<uint8_t>(value * 5 + 113);
    bench->gcm_ = std::make_unique<OpenSslGcm>(bytes.view());
    SOTTO_ASSIGN_OR_RETURN(const ClusterKeyRef key,
                           ClusterKey::Create(std::move(bytes), kCluster, 1));
    SOTTO_ASSIGN_OR_RETURN(bench->hub_, Make("hub", key));
    for (size_t i = 0; i < pairs; ++i) {
      SOTTO_ASSIGN_OR_RETURN(auto peer, Make(absl::StrCat("peer-", i), key));
      peer->Know(*bench->hub_);
      bench->hub_->Know(*peer);
      bench->to_peers_.push_back(peer->peer());
      bench->peers_.push_back(std::move(peer));
    }
    return bench;
  }

  absl::StatusOr<boost::json::object> Run(size_t size, size_t batches) {
    const std::vector<uint8_t> plaintext(size, 0x42);
    for (size_t batch = 0; batch < batches + kWarmUp; ++batch) {
      // What is allocated and learned once is not what a frame costs.
      if (batch == kWarmUp) seal_ = open_ = gcm_seal_ = gcm_open_ = Cost{};
      SOTTO_RETURN_IF_ERROR(Batch(plaintext));
    }
    return boost::json::object{
        {"size", size},
        {"seal_ns", seal_.Ns()},
        {"open_ns", open_.Ns()},
        {"openssl_seal_ns", gcm_seal_.Ns()},
        {"openssl_open_ns", gcm_open_.Ns()},
        {"ratio", (seal_.Ns() + open_.Ns()) / (gcm_seal_.Ns() + gcm_open_.Ns())},
        {"allocations", seal_.Allocations() + open_.Allocations()},
        {"seal_allocations", seal_.Allocations()},
        {"open_allocations", open_.Allocations()},
        {"openssl_allocations", gcm_seal_.Allocations() + gcm_open_.Allocations()},
    };
  }

 private:
  static constexpr size_t kWarmUp = 5;
  static constexpr size_t kAdditionalBytes = kFrameHeaderBytes + 8;

  static absl::StatusOr<std::unique_ptr<Process>> Make(std::string_view name, ClusterKeyRef key) {
    SOTTO_ASSIGN_OR_RETURN(ProcessIdentityRef identity, ProcessIdentity::Create(kCluster, name));
    return std::make_unique<Process>(std::move(identity), std::move(key));
  }

  // The hub seals for its peers in turn and opens what they seal for it: that is the node whose
  // work is measured, with as many pairs as the session kind wants.
  absl::Status Batch(std::span<const uint8_t> plaintext) {
    const size_t frame_size = plaintext.size() + kFrameOverheadBytes;
    const bool sealed = Time(kFramesPerBatch, seal_, [&](size_t i) {
      const auto out = std::span(frames_[i]);
      return hub_->codec().Seal(now_, to_peers_[i % to_peers_.size()], plaintext, out).ok();
    });
    if (!sealed) return Refused("sealing");
    const std::array<uint8_t, kAdditionalBytes> additional{};
    const bool gcm_sealed = Time(kFramesPerBatch, gcm_seal_, [&](size_t i) {
      return gcm_->Seal(++counter_, additional, plaintext, gcm_frames_[i]);
    });
    if (!gcm_sealed) return Refused("OpenSSL's sealing");
    for (size_t i = 0; i < kFramesPerBatch; ++i) {
      const auto out = std::span(frames_[i]);
      if (!peers_[i % peers_.size()]->codec().Seal(now_, hub_->peer(), plaintext, out).ok()) {
        return Refused("a peer's sealing");
      }
    }
    const bool opened = Time(kFramesPerBatch, open_, [&](size_t i) {
      const auto frame = std::span(frames_[i]).first(frame_size);
      return hub_->codec().Open(now_, frame, opened_).drop == DropReason::kNone;
    });
    if (!opened) return Refused("opening");
    const uint64_t first = counter_ - kFramesPerBatch + 1;
    const size_t sealed_size = plaintext.size() + OpenSslGcm::kTagBytes;
    const bool gcm_opened = Time(kFramesPerBatch, gcm_open_, [&](size_t i) {
      const auto frame = std::span(gcm_frames_[i]).first(sealed_size);
      return gcm_->Open(first + i, additional, frame, opened_);
    });
    return gcm_opened ? absl::OkStatus() : Refused("OpenSSL's opening");
  }

  const Instant now_ = Instant::FromNanos(1);
  std::unique_ptr<Process> hub_;
  std::vector<std::unique_ptr<Process>> peers_;
  std::vector<FramePeer> to_peers_;
  std::unique_ptr<OpenSslGcm> gcm_;
  uint64_t counter_ = 0;
  std::array<std::array<uint8_t, kDatagramBytesMax>, kFramesPerBatch> frames_{};
  std::array<std::array<uint8_t, kDatagramBytesMax>, kFramesPerBatch> gcm_frames_{};
  std::array<uint8_t, kDatagramBytesMax> opened_{};
  Cost seal_, open_, gcm_seal_, gcm_open_;
};

absl::StatusOr<boost::json::array> Frames(const Flags& flags, Progress& progress) {
  boost::json::array rows;
  for (const bool pooled : {true, false}) {
    for (const size_t key_bytes : kKeyBytes) {
      SOTTO_ASSIGN_OR_RETURN(auto bench, FrameBench::Create(key_bytes, pooled ? 1 : kPairs));
      for (const size_t size : kSizes) {
        progress.Say(absl::StrFormat("frames: %d of %d", rows.size() + 1,
                                     2 * kKeyBytes.size() * kSizes.size()));
        SOTTO_ASSIGN_OR_RETURN(boost::json::object row, bench->Run(size, flags.batches));
        row["key_bits"] = key_bytes * 8;
        row["session"] = pooled ? "pooled" : "rekeyed";
        rows.push_back(std::move(row));
      }
    }
  }
  return rows;
}

// An Alive as a node signs it, and its verification as a receiver does it once for each.
absl::StatusOr<boost::json::object> Statements(SigningKeyKind kind, size_t batches) {
  const int64_t now = std::time(nullptr);
  SOTTO_ASSIGN_OR_RETURN(const PemPair authority, CreateAuthority(kCluster, kind, now - 60));
  IssueRequest request{{kCluster, CertificateRole::kNode, "node-0001"}, kind, now - 60, now + 3600};
  SOTTO_ASSIGN_OR_RETURN(const PemPair pair, IssueCertificate(authority, request));
  SOTTO_ASSIGN_OR_RETURN(const TrustStoreRef trust,
                         TrustStore::Create(authority.certificate_pem, "", kCluster, 1));
  StatementContext context;
  context.cluster = kCluster;
  context.name = "node-0001";
  SOTTO_ASSIGN_OR_RETURN(context.identity, ProcessIdentity::Create(kCluster, context.name));
  SOTTO_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint("127.0.0.1:7950"));
  context.addresses = {endpoint};
  SOTTO_ASSIGN_OR_RETURN(context.credentials,
                         Credentials::FromPem(pair.certificate_pem, pair.key_pem));
  StatementDraft draft;
  draft.kind = StatementKind::kAlive;
  draft.subject = context.name;
  draft.incarnation = Incarnation::Of(1, 1);
  draft.tags = {{"role", "web"}};

  constexpr size_t kPerBatch = 16;
  Cost sign;
  Cost verify;
  std::string bytes;
  for (size_t batch = 0; batch < batches + 2; ++batch) {
    if (batch == 2) sign = verify = Cost{};
    const bool signed_all = Time(kPerBatch, sign, [&](size_t) {
      const absl::StatusOr<StatementRef> statement = SignDraft(draft, context);
      if (statement.ok()) bytes = (*statement)->bytes;
      return statement.ok();
    });
    if (!signed_all) return Refused("signing");
    const CertificateIdentity identity = {kCluster, CertificateRole::kNode, "node-0001"};
    const bool verified = Time(kPerBatch, verify, [&](size_t) {
      UnverifiedStatement parsed;
      return ParseStatement(bytes, &parsed) == DropReason::kNone &&
             VerifyStatementBy(parsed, *context.credentials->certificate(), identity, *trust) ==
                 DropReason::kNone;
    });
    if (!verified) return Refused("verifying");
  }
  return boost::json::object{
      {"key", kind == SigningKeyKind::kP256 ? "P-256" : "Ed25519"},
      {"size", bytes.size()},
      {"sign_ns", sign.Ns()},
      {"verify_ns", verify.Ns()},
      {"sign_allocations", sign.Allocations()},
      {"verify_allocations", verify.Allocations()},
  };
}

absl::StatusOr<boost::json::array> AllStatements(const Flags& flags, Progress& progress) {
  boost::json::array rows;
  for (const SigningKeyKind kind : {SigningKeyKind::kP256, SigningKeyKind::kEd25519}) {
    progress.Say("statements");
    SOTTO_ASSIGN_OR_RETURN(boost::json::object row, Statements(kind, flags.batches / 4 + 1));
    rows.push_back(std::move(row));
  }
  return rows;
}

double Number(const boost::json::object& row, const char* key) {
  return row.at(key).to_number<double>();
}

void PrintFrames(const boost::json::array& rows) {
  std::printf("%-8s %4s %6s  %8s %8s  %12s %12s  %6s  %s\n", "session", "key", "bytes", "seal ns",
              "open ns", "OpenSSL seal", "OpenSSL open", "ratio", "allocations");
  for (const boost::json::value& value : rows) {
    const boost::json::object& row = value.as_object();
    std::printf("%-8s %4.0f %6.0f  %8.0f %8.0f  %12.0f %12.0f  %6.2f  %.2f\n",
                row.at("session").as_string().c_str(), Number(row, "key_bits"), Number(row, "size"),
                Number(row, "seal_ns"), Number(row, "open_ns"), Number(row, "openssl_seal_ns"),
                Number(row, "openssl_open_ns"), Number(row, "ratio"), Number(row, "allocations"));
  }
}

void PrintStatements(const boost::json::array& rows) {
  for (const boost::json::value& value : rows) {
    const boost::json::object& row = value.as_object();
    std::printf(
        "statement of %.0f bytes under %s: signed in %.1f us with %.1f allocations, "
        "verified in %.1f us with %.1f\n",
        Number(row, "size"), row.at("key").as_string().c_str(), Number(row, "sign_ns") / 1e3,
        Number(row, "sign_allocations"), Number(row, "verify_ns") / 1e3,
        Number(row, "verify_allocations"));
  }
}

absl::Status Run(const Flags& flags) {
  if (!CountsOpenSsl()) return Refused("counting OpenSSL's allocations");
  Progress progress;
  boost::json::array frames;
  boost::json::array statements;
  if (!flags.statements) {
    SOTTO_ASSIGN_OR_RETURN(frames, Frames(flags, progress));
  }
  if (flags.statements || !flags.json) {
    SOTTO_ASSIGN_OR_RETURN(statements, AllStatements(flags, progress));
  }
  progress.Clear();
  if (flags.json) {
    std::cout << boost::json::serialize(flags.statements ? statements : frames) << "\n";
    return absl::OkStatus();
  }
  if (!flags.statements) PrintFrames(frames);
  PrintStatements(statements);
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app{"Measures seal and open of frames beside OpenSSL's AES-GCM, and statements."};
  app.add_flag("--json", flags.json, "print a JSON list of the frames, or of the statements");
  app.add_flag("--statements", flags.statements, "only signing and verifying of statements");
  app.add_option("--batches", flags.batches, "batches of 128 frames for each row (300)")
      ->check(CLI::Range(1, 100'000));
  app.add_flag("--quick", flags.quick, "a few batches: to see that it runs, not to quote");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (flags.quick) flags.batches = 8;
  const absl::Status status = Run(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", Describe(status).c_str());
  return 1;
}

}  // namespace
}  // namespace sotto::bench

int main(int argc, char** argv) { return sotto::bench::Main(argc, argv); }
