// What the application asks of a node: join, leave, forget, tags, certificates, keys.
#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gossip/base/coded_error.h"
#include "gossip/base/status_macros.h"
#include "gossip/contacts.h"
#include "gossip/node_core.h"
#include "gossip/stream_channel.h"

namespace sotto {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

absl::Status Invalid(std::string_view code, std::string_view message) {
  return CodedError(absl::StatusCode::kInvalidArgument, code, message);
}

}  // namespace

// ---- commands -----------------------------------------------------------------------------------

void NodeCore::Join(const std::vector<std::string>& contacts, std::chrono::milliseconds timeout,
                    std::function<void(absl::StatusOr<int>)> done) {
  if (contacts.empty()) return done(Invalid("ADDRESS_INVALID", "no contact to join"));
  for (const std::string& contact : contacts) {
    const absl::Status status = SplitHostPort(contact).status();
    if (!status.ok()) return done(status);
  }
  auto wait = std::make_shared<JoinWait>();
  for (const std::string& contact : contacts) {
    const auto known = std::find(contacts_.begin(), contacts_.end(), contact);
    const auto index = static_cast<uint32_t>(known - contacts_.begin());
    if (known == contacts_.end()) {
      if (contacts_.size() >= kContactsMax) {
        return done(
            CodedError(absl::StatusCode::kResourceExhausted, "CONTACTS_EXHAUSTED",
                       absl::StrCat("this node holds ", kContactsMax, " contacts already")));
      }
      contacts_.push_back(contact);
    } else if (const auto it = contact_members_.find(index); it != contact_members_.end()) {
      // Who answers there is among the living: it is joined already.
      const std::optional<MemberInfo> member = protocol_->Find(it->second);
      if (member && member->state <= MemberState::kSuspect) {
        ++wait->answered;
        continue;
      }
    }
    wait->pending.push_back(index);
    protocol_->AddContact(Now(), ContactId{index});
  }
  if (wait->pending.empty()) {
    Pump();
    return done(wait->answered);
  }
  wait->done = std::move(done);
  wait->timer = std::make_shared<asio::steady_timer>(executor_, timeout);
  joins_.push_back(wait);
  wait->timer->async_wait([weak = weak_from_this(), wait](const error_code& ec) {
    const auto self = weak.lock();
    if (ec || !self || !wait->done) return;
    self->joins_.remove(wait);
    auto finish = std::exchange(wait->done, nullptr);
    if (wait->answered > 0) return finish(wait->answered);
    finish(CodedError(absl::StatusCode::kUnavailable, "JOIN_FAILED",
                      absl::StrCat("no contact answered in time", wait->failures)));
  });
  Pump();
}

KnockAnswer NodeCore::Knock(std::string_view address) {
  const KnockAnswer answer = TryKnock(address);
  if (answer == KnockAnswer::kBegun) Pump();
  return answer;
}

KnockAnswer NodeCore::TryKnock(std::string_view address) {
  const std::string text(address);
  if (!SplitHostPort(text).ok()) return KnockAnswer::kInvalid;
  if (stopped_ || protocol_->standing().left) return KnockAnswer::kSilent;
  if (!knock_list_.Begin(Now(), text)) return KnockAnswer::kLater;
  const uint32_t index = next_knock_++;
  if (next_knock_ == 0) next_knock_ = kFirstKnock;
  if (!protocol_->Knock(Now(), ContactId{index})) {
    knock_list_.End(Now(), text, true);
    return KnockAnswer::kSilent;
  }
  knocks_.emplace(index, text);
  return KnockAnswer::kBegun;
}

void NodeCore::FinishJoins(uint32_t contact, const absl::Status& status) {
  const auto joins = joins_;
  if (!joins.empty()) PublishView();  // whoever waited sees it at once
  for (const auto& wait : joins) {
    if (std::erase(wait->pending, contact) == 0) continue;
    if (status.ok()) {
      ++wait->answered;
    } else {
      absl::StrAppend(&wait->failures, "; ", contacts_[contact], ": ", Describe(status));
    }
    if (!wait->pending.empty()) continue;
    joins_.remove(wait);
    wait->timer->cancel();
    auto finish = std::exchange(wait->done, nullptr);
    if (wait->answered > 0) {
      finish(wait->answered);
    } else {
      finish(CodedError(absl::StatusCode::kUnavailable, "JOIN_FAILED",
                        absl::StrCat("no contact answered", wait->failures)));
    }
  }
}

void NodeCore::Leave(std::chrono::milliseconds timeout, std::function<void(absl::Status)> done) {
  if (protocol_->standing().left) return done(absl::OkStatus());
  const auto timer = std::make_shared<asio::steady_timer>(executor_, timeout);
  const auto once = std::make_shared<std::function<void(absl::Status)>>(std::move(done));
  const auto finish = [once, timer](absl::Status status) {
    timer->cancel();
    if (auto callback = std::exchange(*once, nullptr)) callback(std::move(status));
  };
  leaves_.push_back(finish);
  timer->async_wait([finish](const error_code& ec) {
    if (ec) return;
    finish(CodedError(absl::StatusCode::kDeadlineExceeded, "LEAVE_TIMEOUT",
                      "the goodbye was sent, but not as often as it should be"));
  });
  protocol_->Leave(Now());
  Pump();
}

absl::Status NodeCore::Forget(std::string_view name) {
  if (name == options_.name) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "FORGET_SELF",
                      "a node cannot forget itself; let it leave");
  }
  if (!protocol_->Forget(Now(), name)) {
    return CodedError(absl::StatusCode::kNotFound, "MEMBER_UNKNOWN",
                      absl::StrCat("no member is called \"", std::string(name), "\""));
  }
  Pump();
  return absl::OkStatus();
}

absl::Status NodeCore::SetTags(std::vector<Tag> tags) {
  std::sort(tags.begin(), tags.end());
  if (!AreValidTags(tags)) {
    return Invalid("TAGS_INVALID",
                   "tags need distinct keys of [A-Za-z0-9._-], printable values, and at most 512 "
                   "bytes in all");
  }
  protocol_->SetTags(Now(), std::move(tags));
  Pump();
  PublishView();
  return absl::OkStatus();
}

absl::Status NodeCore::ReloadTls(const TlsMaterial& material) {
  SOTTO_ASSIGN_OR_RETURN(CredentialsRef credentials,
                         Credentials::FromPem(material.cert_pem, material.key_pem));
  SOTTO_ASSIGN_OR_RETURN(TrustStoreRef trust,
                         TrustStore::Create(material.ca_pem, material.crl_pem, options_.cluster,
                                            trust_generation_ + 1));
  SOTTO_ASSIGN_OR_RETURN(TlsContextRef tls,
                         TlsContext::Create(credentials, trust, kAlpnSync, UnixSeconds()));
  SOTTO_ASSIGN_OR_RETURN(const CertificateIdentity who, credentials->certificate()->Identity());
  if (who.name != options_.name) {
    return CodedError(absl::StatusCode::kFailedPrecondition, "CERT_WRONG_NAME",
                      absl::StrCat("the certificate names node \"", who.name, "\", this node is \"",
                                   options_.name, "\""));
  }
  // Everything has passed: nothing below fails.
  ++trust_generation_;
  const bool renewed =
      credentials->certificate()->sha256() != credentials_->certificate()->sha256();
  credentials_ = std::move(credentials);
  trust_ = std::move(trust);
  tls_ = std::move(tls);
  options_.tls = material;
  std::vector<Hash256> untrusted;
  for (const StatementCache::Refused& refused : cache_->SetTrust(trust_, UnixSeconds())) {
    Refuse(refused.why, refused.name);
    Log(LogLevel::kWarn, "certificate_refused",
        {{"peer", refused.name}, {"error", Describe(refused.why)}});
    untrusted.push_back(refused.certificate);
  }
  (void)cache_->AddCertificate(credentials_->certificate(), UnixSeconds());
  for (const auto& weak : streams_) {
    const auto stream = weak.lock();
    if (!stream || !stream->peer().certificate) continue;
    const auto verdict =
        trust_->Verify(*stream->peer().certificate, {}, CertificateRole::kNode, UnixSeconds());
    if (!verdict.ok()) stream->Close();
  }
  protocol_->HandleUntrusted(Now(), untrusted);
  if (renewed) protocol_->Reannounce(Now(), advertised_);
  Pump();
  PublishView();
  return absl::OkStatus();
}

absl::Status NodeCore::SetKeys(std::vector<ClusterKeyRef> keys, KeyId sealing) {
  Keyring next;
  for (const ClusterKeyRef& key : keys) SOTTO_RETURN_IF_ERROR(next.Install(key));
  SOTTO_RETURN_IF_ERROR(next.Use(sealing));
  std::vector<KeyId> gone;
  for (const ClusterKeyRef& key : keyring_.keys()) {
    if (!next.Find(key->id())) gone.push_back(key->id());
  }
  keyring_ = std::move(next);
  for (const KeyId id : gone) codec_->ForgetKey(id);
  PublishView();
  return absl::OkStatus();
}

absl::Status NodeCore::RefreshKeys() {
  if (!options_.courier) return absl::OkStatus();
  KeySet set = options_.courier->Keys();
  return SetKeys(std::move(set.keys), set.sealing);
}

void NodeCore::SeekKeys() {
  if (stopped_) return;
  protocol_->SeekSync(Now());
  Pump();
}

std::string NodeCore::OfferKey(KeyId id) {
  std::string wrapped = options_.courier ? options_.courier->Offer(id) : std::string();
  return wrapped.size() <= kPreambleOfferBytesMax ? wrapped : std::string();
}

void NodeCore::TakeKey(const std::string& from, const std::string& wrapped) {
  if (!options_.courier) return;
  absl::Status status = options_.courier->Take(wrapped);
  if (status.ok()) status = RefreshKeys();
  if (!status.ok()) {
    Refuse(status, from);
    return;
  }
  Log(LogLevel::kInfo, "key_taken", {{"peer", from}});
}

void NodeCore::NoteUnknownKey(KeyId id) {
  if (!options_.courier || Now() < unknown_key_after_) return;
  unknown_key_after_ = Now() + Duration::Seconds(1);
  if (options_.courier->OnUnknownKey(id)) SeekKeys();
}

void NodeCore::ConsiderSealing(KeyId id) {
  const ClusterKeyRef& own = keyring_.sealing();
  if (!options_.courier || id == own->id()) return;
  const ClusterKeyRef key = keyring_.Find(id);
  if (!key || key->generation() <= own->generation()) return;
  if (!options_.courier->UseNewer(id)) return;
  const absl::Status status = RefreshKeys();
  if (status.ok()) Log(LogLevel::kInfo, "key_sealing", {{"key", ToString(id)}});
}

void NodeCore::AnswerKeysQuery(const ReceivedQuery& query) {
  std::string claim;
  if (options_.courier) {
    uint64_t generation = 0;
    // What is no number says nothing.
    static_cast<void>(absl::SimpleAtoi(query.payload, &generation));
    if (options_.courier->OnKeysAsked(generation)) SeekKeys();
    claim = options_.courier->Claim(keyring_.sealing()->id(),
                                    stats_.drops[static_cast<size_t>(DropReason::kUnknownKey)] +
                                        stats_.drops[static_cast<size_t>(DropReason::kBadTag)]);
  }
  const absl::Status status = Answer(query.id, claim);
  if (!status.ok()) Log(LogLevel::kInfo, "answer_failed", {{"error", Describe(status)}});
}

}  // namespace sotto
