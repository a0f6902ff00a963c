// sotto certs: a small certificate authority in a folder, and what it has issued.
#include <dirent.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/commands/commands.h"
#include "cmd/sotto/commands/local_files.h"
#include "cmd/sotto/commands/store_target.h"
#include "cmd/sotto/complaint.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/render.h"
#include "cmd/sotto/output/text.h"
#include "cmd/sotto/verb.h"
#include "crypto/authority.h"
#include "crypto/certificate.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/member.h"
#include "store/file_rules.h"

namespace sotto::cli {
namespace {

namespace json = boost::json;

constexpr int64_t kDayS = 86'400;
constexpr int64_t kBackdateS = 300;  // for clocks that differ

struct Flags {
  std::string dir = "/etc/sotto/pki";
  std::string cluster;
  std::string kind = "p256";
  std::string file;
  int64_t days = 30;
  int64_t ca_days = 5 * 365;
  bool admin = false;
  bool running = false;
  std::vector<std::string> names;
};

SigningKeyKind KindOf(const Flags& flags) {
  return flags.kind == "ed25519" ? SigningKeyKind::kEd25519 : SigningKeyKind::kP256;
}

// The private half of a pair is wiped however its function ends.
struct WipedPair {
  PemPair pair;
  WipedPair() = default;
  WipedPair(const WipedPair&) = delete;
  WipedPair& operator=(const WipedPair&) = delete;
  ~WipedPair() { WipeText(&pair.key_pem); }
};

absl::Status MustNotExist(const std::string& path) {
  if (!FileExists(path)) return absl::OkStatus();
  return WithLine(CodedError(absl::StatusCode::kAlreadyExists, "FILE_EXISTS",
                             path + " is there already, and stays"),
                  "do", "another folder: --dir PATH; or move the old files away first");
}

// The key first: a certificate without its key would look finished.
absl::Status WritePair(const std::string& stem, const PemPair& pair) {
  SOTTO_RETURN_IF_ERROR(AtomicCreate(stem + ".key", pair.key_pem, 0600));
  return AtomicCreate(stem + ".crt", pair.certificate_pem, 0644);
}

absl::Status CreateCa(const Flags& flags) {
  SOTTO_RETURN_IF_ERROR(CheckClusterName(flags.cluster));
  const std::string stem = flags.dir + "/ca";
  SOTTO_RETURN_IF_ERROR(MustNotExist(stem + ".key"));
  SOTTO_RETURN_IF_ERROR(MustNotExist(stem + ".crt"));
  SOTTO_RETURN_IF_ERROR(MakeFolders(flags.dir, 0755));
  WipedPair authority;
  SOTTO_ASSIGN_OR_RETURN(
      authority.pair,
      CreateAuthority(flags.cluster, KindOf(flags), NowUnixMs() / 1000, flags.ca_days * kDayS));
  return WritePair(stem, authority.pair);
}

int RunCreateCa(Context& context, const Flags& flags) {
  if (flags.cluster.empty()) {
    Complaint complaint{kExitUsage, "USAGE", "\"sotto certs ca create\" needs --cluster NAME", {}};
    return context.Fail(complaint.Add("do", "sotto certs ca create --cluster edge-prod"));
  }
  const absl::Status status = CreateCa(flags);
  if (!status.ok()) return context.Fail(status);
  const std::string stem = flags.dir + "/ca";
  const json::value envelope = LocalEnvelope(
      "sotto.ca/1",
      {{"cluster", flags.cluster}, {"certificate", stem + ".crt"}, {"key", stem + ".key"}});
  const int exit = PrintDone(context, envelope, "wrote " + stem + ".crt and " + stem + ".key");
  context.Note(
      "next: `sotto certs issue NAME...`. Keep ca.key off the nodes: who has it can make "
      "members.");
  return exit;
}

// The cluster that a CA is for: the O of its subject.
absl::StatusOr<std::string> ClusterOf(const Certificate& ca) {
  const std::string subject = ca.SubjectText();
  for (size_t at = 0; at < subject.size();) {
    const size_t end = std::min(subject.find(',', at), subject.size());
    if (subject.compare(at, 2, "O=") == 0) {
      std::string cluster = subject.substr(at + 2, end - at - 2);
      if (IsValidClusterName(cluster)) return cluster;
    }
    at = end + 1;
  }
  return CodedError(absl::StatusCode::kInvalidArgument, "CA_UNREADABLE",
                    "the CA's subject \"" + subject + "\" names no cluster");
}

struct Authority {
  WipedPair pem;
  std::string cluster;
  int64_t not_after = 0;
};

absl::Status LoadAuthority(const std::string& dir, Authority* authority) {
  const std::string stem = dir + "/ca";
  const auto certificate = ReadPlainFile(stem + ".crt");
  if (!certificate.ok()) {
    return WithLine(certificate.status(), "do",
                    "sotto certs ca create --cluster NAME --dir " + ShellQuote(dir));
  }
  FileRules rules;
  rules.also_owner = FolderOwner(dir);
  SOTTO_ASSIGN_OR_RETURN(const SecretBytes key, ReadSecretFile(stem + ".key", rules));
  authority->pem.pair.certificate_pem = *certificate;
  authority->pem.pair.key_pem.assign(key.view().begin(), key.view().end());
  SOTTO_ASSIGN_OR_RETURN(const CertificateRef ca, Certificate::FromPem(*certificate));
  SOTTO_ASSIGN_OR_RETURN(authority->cluster, ClusterOf(*ca));
  authority->not_after = ca->not_after_unix_s();
  return absl::OkStatus();
}

// Everything that can be wrong with the names, before anything is written.
absl::Status CheckNames(const Flags& flags) {
  for (size_t i = 0; i < flags.names.size(); ++i) {
    const std::string& name = flags.names[i];
    if (!IsValidMemberName(name)) {
      return CodedError(absl::StatusCode::kInvalidArgument, "MEMBER_NAME_INVALID",
                        "\"" + name +
                            "\" is no member's name: 1 to 128 of A-Z a-z 0-9 . _ -, the "
                            "first a letter or a digit");
    }
    if (std::count(flags.names.begin(), flags.names.end(), name) > 1) {
      return CodedError(absl::StatusCode::kInvalidArgument, "USAGE",
                        "\"" + name + "\" is named twice");
    }
    SOTTO_RETURN_IF_ERROR(MustNotExist(flags.dir + "/" + name + ".key"));
    SOTTO_RETURN_IF_ERROR(MustNotExist(flags.dir + "/" + name + ".crt"));
  }
  return absl::OkStatus();
}

absl::StatusOr<json::object> IssueOne(const Authority& authority, const Flags& flags,
                                      const std::string& name) {
  const int64_t now = NowUnixMs() / 1000;
  IssueRequest request;
  request.identity = {authority.cluster,
                      flags.admin ? CertificateRole::kAdmin : CertificateRole::kNode, name};
  request.kind = KindOf(flags);
  request.not_before_unix_s = now - kBackdateS;
  // A certificate that outlives its CA is refused with it; say the truth in it.
  request.not_after_unix_s = std::min(now + flags.days * kDayS, authority.not_after);
  if (request.not_after_unix_s <= now) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "CERT_EXPIRED",
                      "the CA itself ended on " + FormatDay(authority.not_after));
  }
  WipedPair leaf;
  SOTTO_ASSIGN_OR_RETURN(leaf.pair, IssueCertificate(authority.pem.pair, request));
  const std::string stem = flags.dir + "/" + name;
  SOTTO_RETURN_IF_ERROR(WritePair(stem, leaf.pair));
  return json::object{{"subject", ToUri(request.identity)},
                      {"certificate", stem + ".crt"},
                      {"key", stem + ".key"},
                      {"not_after", FormatUtc(request.not_after_unix_s * 1000)}};
}

int RunIssue(Context& context, const Flags& flags) {
  absl::Status status = CheckNames(flags);
  if (!status.ok()) return context.Fail(status);
  Authority authority;
  status = LoadAuthority(flags.dir, &authority);
  if (!status.ok()) return context.Fail(status);
  json::array issued;
  for (const std::string& name : flags.names) {
    auto one = IssueOne(authority, flags, name);
    if (!one.ok()) {
      Complaint complaint = ComplaintOf(one.status());
      if (!issued.empty()) {
        complaint.exit = kExitPartial;
        complaint.Add("state", Plural(issued.size(), "certificate") + " of " +
                                   std::to_string(flags.names.size()) + " written before " + name);
      }
      return context.Fail(complaint);
    }
    issued.push_back(*std::move(one));
  }
  const std::string day = TextOf(Member(issued.front(), "not_after")).substr(0, 10);
  const json::value envelope = LocalEnvelope("sotto.issued/1", std::move(issued));
  ListView view;
  for (const char* key : {"subject", "certificate", "key", "not_after"}) {
    view.fields.push_back(
        {.name = key, .text = [key](const json::value& row) { return TextOf(Member(row, key)); }});
  }
  if (context.format() != Format::kTable && context.format() != Format::kWide) {
    return PrintList(context, envelope, view);
  }
  for (const json::value& row : ArrayOf(Member(envelope, "data"))) {
    context.out() << Escape(TextOf(Member(row, "subject")) + "  " +
                            TextOf(Member(row, "certificate")) + " and .key, until " + day)
                  << '\n';
  }
  if (!flags.admin) {
    context.Note(
        "next: to each node go ca.crt, its NAME.crt as node.crt, and its NAME.key as "
        "node.key, into /etc/sotto/pki");
  }
  return kExitOk;
}

std::string HexOf(const Hash256& hash) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const uint8_t byte : hash.bytes) {
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

json::object Describe(const std::string& file, const Certificate& certificate) {
  const auto identity = certificate.Identity();
  const bool is_node = identity.ok() && identity->role == CertificateRole::kNode;
  const int64_t now = NowUnixMs() / 1000;
  const int64_t valid_s = certificate.not_after_unix_s() - now;
  const char* state = valid_s <= 0                            ? "expired"
                      : certificate.not_before_unix_s() > now ? "not yet valid"
                      : valid_s < 5 * kDayS                   ? "ends soon"
                                                              : "valid";
  const bool is_ca = !identity.ok() && certificate.SubjectText() == certificate.IssuerText();
  return {{"file", file},
          {"use", is_ca            ? "ca"
                  : !identity.ok() ? "other"
                  : is_node        ? "node"
                                   : "admin"},
          {"subject", identity.ok() ? ToUri(*identity) : certificate.SubjectText()},
          {"issuer", certificate.IssuerText()},
          {"state", state},
          {"serial", certificate.SerialHex()},
          {"key", certificate.KeyText()},
          {"not_before", FormatUtc(certificate.not_before_unix_s() * 1000)},
          {"not_after", FormatUtc(certificate.not_after_unix_s() * 1000)},
          {"valid_s", valid_s},
          {"sha256", HexOf(certificate.sha256())}};
}

absl::StatusOr<json::object> ReadOne(const std::string& path) {
  SOTTO_ASSIGN_OR_RETURN(const std::string pem, ReadPlainFile(path));
  auto certificate = Certificate::FromPem(pem);
  if (!certificate.ok()) return WithContext(certificate.status(), path);
  return Describe(path, **certificate);
}

absl::StatusOr<std::vector<std::string>> CertificateFiles(const std::string& dir) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(dir.c_str()), &closedir);
  if (folder == nullptr) {
    return WithLine(CodedError(absl::StatusCode::kNotFound, "FILE_MISSING",
                               "there is no folder " + dir + " that this user may read"),
                    "do", "sotto certs ls --dir PATH");
  }
  std::vector<std::string> files;
  while (const dirent* entry = readdir(folder.get())) {
    const std::string name = entry->d_name;
    if (name.size() > 4 && name.ends_with(".crt")) files.push_back(dir + "/" + name);
  }
  std::sort(files.begin(), files.end());
  return files;
}

ListView CertificatesView() {
  ListView view;
  const auto add = [&](const char* name, const char* key, bool wide) {
    view.fields.push_back(
        {.name = name,
         .text = [key](const json::value& row) { return PlainOf(Member(row, key)); },
         .wide = wide});
  };
  add("USE", "use", false);
  add("SUBJECT", "subject", false);
  view.fields.push_back(
      {.name = "VALID",
       .text =
           [](const json::value& row) {
             const auto left = NumberOf(Member(row, "valid_s"));
             if (!left) return std::string();
             return *left > 0 ? HumanDuration(*left) : "ended " + HumanDuration(-*left) + " ago";
           },
       .raw = [](const json::value& row) { return PlainOf(Member(row, "valid_s")); },
       .color = [](const json::value& row) -> std::string {
         const double left = NumberOf(Member(row, "valid_s")).value_or(0);
         return left <= 0 ? "red" : left < 5 * kDayS ? "yellow" : "";
       }});
  view.fields.push_back(
      {.name = "UNTIL",
       .text =
           [](const json::value& row) { return TextOf(Member(row, "not_after")).substr(0, 10); },
       .raw = [](const json::value& row) { return TextOf(Member(row, "not_after")); }});
  add("KEY", "key", false);
  add("FILE", "file", false);
  add("SERIAL", "serial", true);
  add("SHA256", "sha256", true);
  return view;
}

int RunList(Context& context, const Flags& flags) {
  ListView view = CertificatesView();
  view.empty = "no certificate here";
  if (flags.running) {
    const auto client = context.Client();
    if (!client.ok()) return context.Fail(client.status());
    const auto envelope = client->Get("/v1/certs");
    if (!envelope.ok()) return context.Fail(envelope.status());
    return PrintList(context, *envelope, view);
  }
  const auto files = CertificateFiles(flags.dir);
  if (!files.ok()) return context.Fail(files.status());
  json::array rows;
  int unreadable = 0;
  for (const std::string& file : *files) {
    auto one = ReadOne(file);
    if (one.ok()) {
      rows.push_back(*std::move(one));
    } else {
      ++unreadable;
      rows.push_back({{"file", file}, {"use", "unreadable"}, {"state", "unreadable"}});
    }
  }
  json::object envelope = LocalEnvelope("sotto.cert_files/1", std::move(rows));
  envelope["complete"] = unreadable == 0;
  return PrintList(context, envelope, view);
}

int RunShow(Context& context, const Flags& flags) {
  // A name is a file of the folder, unless it says where it lies.
  const bool is_path = flags.file.find('/') != std::string::npos || flags.file.ends_with(".crt") ||
                       flags.file.ends_with(".pem");
  const auto one = ReadOne(is_path ? flags.file : flags.dir + "/" + flags.file + ".crt");
  if (!one.ok()) return context.Fail(one.status());
  const json::value envelope = LocalEnvelope("sotto.cert/1", *one);
  return PrintOne(context, envelope, [&](std::ostream& out) {
    for (const auto& [key, value] : *one) {
      std::string label = "  " + std::string(key);
      label.resize(14, ' ');
      const bool is_time = key == "valid_s";
      if (is_time) label.replace(2, 7, "valid  ");
      out << label << Escape(is_time ? HumanDuration(NumberOf(value).value_or(0)) : PlainOf(value))
          << '\n';
    }
  });
}

}  // namespace

void AddCerts(Verb& root) {
  Context& context = root.context();
  const auto flags = std::make_shared<Flags>();
  const std::string dir_help = "the folder (/etc/sotto/pki)";
  Verb verb = root.Sub("certs", "the cluster's certificate authority, and what it has issued");
  verb.Example("sotto certs ca create --cluster edge-prod",
               "once, on the machine that keeps the CA")
      .Example("sotto certs issue gw-1 gw-2 gw-3", "one for each node")
      .Example("sotto certs ls", "what is there, and until when");
  Verb ca = verb.Sub("ca", "the authority itself");
  ca.Sub("create", "a new authority: ca.crt and ca.key")
      .Text("--cluster", &flags->cluster, "NAME", "the only cluster it can speak for")
      .Text("--dir", &flags->dir, "DIR", dir_help)
      .Choice("--kind", &flags->kind, {"p256", "ed25519"}, "of its key (p256)")
      .Number("--days", &flags->ca_days, 1, 36'500, "N", "how long it is valid (1825)")
      .Run([&context, flags] { return RunCreateCa(context, *flags); });
  verb.Sub("issue", "certificates and keys for nodes, by name")
      .Words("NAME", &flags->names, 1, 256, "the member's name")
      .Text("--dir", &flags->dir, "DIR", dir_help)
      .Switch("--admin", &flags->admin, "for a person who administers, not for a node")
      .Choice("--kind", &flags->kind, {"p256", "ed25519"}, "of the key (p256)")
      .Number("--days", &flags->days, 1, 825, "N", "how long it is valid (30)")
      .Example("sotto certs issue gw-1 --dir ./pki", "writes ./pki/gw-1.crt and ./pki/gw-1.key")
      .Run([&context, flags] { return RunIssue(context, *flags); });
  verb.Sub("ls", "the certificates of the folder, or of the running daemon")
      .Text("--dir", &flags->dir, "DIR", dir_help)
      .Switch("--running", &flags->running, "those that the daemon uses now")
      .Run([&context, flags] { return RunList(context, *flags); });
  verb.Sub("show", "all about one certificate")
      .Word("FILE", &flags->file, true, "a path, or a name in the folder")
      .Text("--dir", &flags->dir, "DIR", dir_help)
      .Run([&context, flags] { return RunShow(context, *flags); });
}

}  // namespace sotto::cli
