// Real nodes in one process, on loopback: sockets, TLS, frames and statements, without the daemon.
#include "gossip/node.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "tests/gossip/node_fixture.h"

namespace sotto {
namespace {

TEST_F(NodeTest, ThreeNodesAgreeUnderEachKeyLength) {
  for (const size_t key_bytes : {16u, 24u, 32u}) {
    auto a = Start(Options("a", key_bytes));
    NodeOptions more = Options("b", key_bytes);
    more.join = {Address(*a)};
    auto b = Start(std::move(more));
    more = Options("c", key_bytes);
    more.join = {Address(*a)};
    auto c = Start(std::move(more));
    ASSERT_TRUE(Eventually([&] {
      return Alive(*a) == 3 && Alive(*b) == 3 && Alive(*c) == 3 &&
             a->View()->set_hash == b->View()->set_hash &&
             b->View()->set_hash == c->View()->set_hash;
    })) << key_bytes
        << ": " << Alive(*a) << Alive(*b) << Alive(*c);
    EXPECT_EQ(key_bytes == 16   ? AeadAlgorithm::kAes128Gcm
              : key_bytes == 24 ? AeadAlgorithm::kAes192Gcm
                                : AeadAlgorithm::kAes256Gcm,
              a->View()->algorithm);
    // Joining makes nobody suspect, and in an honest cluster no tag ever fails.
    for (const Node* node : {a.get(), b.get(), c.get()}) {
      const NodeStats stats = node->Stats();
      EXPECT_EQ(0u, stats.protocol.refutations);
      EXPECT_EQ(0u, stats.drops[static_cast<size_t>(DropReason::kBadTag)]);
      EXPECT_EQ(0u, stats.drops[static_cast<size_t>(DropReason::kBadSignature)]);
      EXPECT_TRUE(Eventually([&] { return node->Stats().frames_received > 0; }));
    }
  }
}

TEST_F(NodeTest, OneThatStopsWithoutAWordIsFoundDeadAndReturnsAtOnce) {
  auto a = Start(Options("a"));
  NodeOptions options = Options("b");
  options.join = {Address(*a)};
  auto b = Start(std::move(options));
  options = Options("c");
  options.join = {Address(*a)};
  auto c = Start(std::move(options));
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 3 && Alive(*b) == 3 && Alive(*c) == 3; }));
  const std::string address = Address(*c);
  c.reset();
  ASSERT_TRUE(Eventually([&] {
    return StateOf(*a, "c") == MemberState::kDead && StateOf(*b, "c") == MemberState::kDead;
  }));
  options = Options("c");
  options.bind = {address};
  options.join = {Address(*a)};
  options.boot_number = 2;
  c = Start(std::move(options));
  EXPECT_TRUE(Eventually([&] { return Alive(*a) == 3 && Alive(*b) == 3 && Alive(*c) == 3; }));
}

TEST_F(NodeTest, LeavingIsNotDying) {
  auto a = Start(Options("a"));
  NodeOptions options = Options("b");
  options.join = {Address(*a)};
  auto b = Start(std::move(options));
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
  std::atomic<int> died{0};
  const auto watch = a->Watch([&](const WatchItem& item) {
    const auto* event = std::get_if<Event>(&item.body);
    died += event != nullptr && event->kind == EventKind::kDied;
  });
  const absl::Status left = b->Leave(seconds(5));
  EXPECT_TRUE(left.ok()) << Describe(left);
  EXPECT_TRUE(Eventually([&] { return StateOf(*a, "b") == MemberState::kLeft; }));
  b.reset();
  EXPECT_TRUE(a->IsResponsive(seconds(5)));
  EXPECT_EQ(0, died);
}

TEST_F(NodeTest, TagsReachEverybody) {
  auto a = Start(Options("a"));
  NodeOptions options = Options("b");
  options.join = {Address(*a)};
  auto b = Start(std::move(options));
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
  ASSERT_TRUE(b->SetTags({{"zone", "fra1"}, {"role", "gateway"}}).ok());
  EXPECT_TRUE(Eventually([&] {
    const auto view = a->View();
    for (const MemberInfo& member : view->members) {
      if (member.name == "b") {
        return member.claims->tags == std::vector<Tag>{{"role", "gateway"}, {"zone", "fra1"}};
      }
    }
    return false;
  }));
  EXPECT_EQ("TAGS_INVALID", ErrorCode(b->SetTags({{"k", "1"}, {"k", "2"}})));
  EXPECT_EQ("TAGS_INVALID", ErrorCode(b->SetTags({{"k", std::string(513, 'x')}})));
}

TEST_F(NodeTest, ACertificateOfAnotherAuthorityIsRefused) {
  auto a = Start(Options("a"));
  auto other = CreateAuthority(kCluster, SigningKeyKind::kP256, now_ - 3'600);
  ASSERT_TRUE(other.ok());
  const auto refused_as = [&](const std::string& code) {
    const auto refusals = a->Stats().refusals;
    return std::any_of(refusals.begin(), refusals.end(),
                       [&](const auto& entry) { return entry.first == code; });
  };
  // One that distrusts us as well ends the handshake itself.
  NodeOptions options = Options("b");
  options.tls = Certificate("b", *other);
  options.tls.ca_pem = other->certificate_pem;
  options.join = {Address(*a)};
  auto b = Start(std::move(options));
  EXPECT_TRUE(Eventually([&] { return refused_as("TLS_REFUSED_UNKNOWN_CA"); }));
  // One that trusts us is refused by us.
  options = Options("c");
  options.tls = Certificate("c", *other);
  options.tls.ca_pem = other->certificate_pem + authority_.certificate_pem;
  options.join = {Address(*a)};
  auto c = Start(std::move(options));
  EXPECT_TRUE(Eventually([&] { return refused_as("CERT_UNTRUSTED"); }));
  EXPECT_EQ(1u, Alive(*a));
  EXPECT_EQ(1u, a->View()->members.size());
  EXPECT_EQ(0u, a->Stats().frames_sent + a->Stats().hellos_sent);
}

TEST_F(NodeTest, ACertificateWithoutTheKeyIsRefusedByName) {
  auto a = Start(Options("a"));
  NodeOptions options = Options("b");
  options.keys = {*ClusterKey::Create(KeyBytes(9, 32), kCluster, 1)};
  options.join = {Address(*a)};
  auto b = Start(std::move(options));
  EXPECT_TRUE(Eventually([&] {
    for (const Refusal& refusal : a->Refusals()) {
      if (refusal.code == "KEY_MISMATCH" && refusal.peer == "b") return true;
    }
    return false;
  }));
  EXPECT_EQ(1u, a->View()->members.size());
  EXPECT_EQ(0u, a->Stats().frames_sent + a->Stats().hellos_sent);
}

TEST_F(NodeTest, WhatCannotWorkIsToldAtTheStart) {
  auto code = [](NodeOptions options) {
    auto node = Node::Start(std::move(options));
    return node.ok() ? std::string("started") : ErrorCode(node.status());
  };
  auto a = Start(Options("a"));
  NodeOptions options = Options("b");
  options.bind = {Address(*a)};
  EXPECT_EQ("ADDRESS_IN_USE", code(std::move(options)));
  options = Options("b");
  options.bind = {"203.0.113.1:0"};
  EXPECT_EQ("ADDRESS_NOT_LOCAL", code(std::move(options)));
  options = Options("b");
  options.bind = {"0.0.0.0:0"};
  EXPECT_EQ("ADDRESS_UNROUTABLE", code(std::move(options)));
  options = Options("b");
  options.bind = {"localhost"};
  EXPECT_EQ("ADDRESS_INVALID", code(std::move(options)));
  options = Options("b");
  options.name = "c";
  EXPECT_EQ("CERT_WRONG_NAME", code(std::move(options)));
  options = Options("b");
  options.keys.clear();
  EXPECT_EQ("KEY_MISSING", code(std::move(options)));
  for (const std::string& name : {std::string(), std::string(129, 'a'), std::string("a\nb")}) {
    options = Options("b");
    options.name = name;
    EXPECT_EQ("MEMBER_NAME_INVALID", code(std::move(options)));
  }
}

TEST_F(NodeTest, JoinSaysWhyNobodyAnswered) {
  auto a = Start(Options("a"));
  auto b = Start(Options("b"));
  const absl::StatusOr<int> joined = a->Join({Address(*b)}, seconds(10));
  ASSERT_TRUE(joined.ok()) << Describe(joined.status());
  EXPECT_EQ(1, *joined);
  EXPECT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
  const std::string address = Address(*b);
  b.reset();
  const absl::StatusOr<int> failed = a->Join({"127.0.0.1:1"}, seconds(10));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ("JOIN_FAILED", ErrorCode(failed.status()));
  EXPECT_NE(std::string::npos, Describe(failed.status()).find("127.0.0.1:1"));
}

// The side that accepts asks for certificates while the rest of the table is already on its way.
TEST_F(NodeTest, ANodeThatIsDialedLearnsATableWhoseCertificatesItLacks) {
  auto a = Start(Options("a"));
  std::vector<std::unique_ptr<Node>> others;
  for (const std::string name : {"b", "c", "e"}) {
    NodeOptions options = Options(name);
    options.join = {Address(*a)};
    others.push_back(Start(std::move(options)));
  }
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 4; }));
  auto d = Start(Options("d"));
  const absl::StatusOr<int> joined = a->Join({Address(*d)}, seconds(10));
  ASSERT_TRUE(joined.ok()) << Describe(joined.status());
  EXPECT_TRUE(Eventually([&] { return Alive(*d) == 5; }));
  EXPECT_EQ(1u, a->Stats().syncs_merged - a->Stats().syncs_failed);
  // A contact whose member lives is joined already.
  const absl::StatusOr<int> again = a->Join({Address(*d)}, seconds(10));
  ASSERT_TRUE(again.ok()) << Describe(again.status());
}

TEST_F(NodeTest, ACrowdOfStreamsToItselfEndsWell) {
  // Every node has the same contacts, itself among them.
  NodeOptions options = Options("a");
  options.bind = {"127.0.0.1:0"};
  auto a = Start(std::move(options));
  const std::string address = Address(*a);
  std::vector<std::string> contacts;
  for (int i = 0; i < 32; ++i) {
    contacts.push_back("127.0.0.1:" + std::string(static_cast<size_t>(i), '0') +
                       address.substr(address.find(':') + 1));
  }
  EXPECT_EQ("JOIN_FAILED", ErrorCode(a->Join(contacts, seconds(20)).status()));
  EXPECT_TRUE(a->IsResponsive(seconds(5)));
  EXPECT_EQ(1u, Alive(*a));
}

TEST_F(NodeTest, ASecondProcessOfOneNameIsSilentAndTheFirstGoesOn) {
  auto a = Start(Options("a"));
  NodeOptions options = Options("b");
  options.join = {Address(*a)};
  auto b = Start(std::move(options));
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
  const Incarnation before = b->View()->incarnation;
  // One finds its rival in the table of another node, the other dials it.
  for (const Node* contact : {a.get(), b.get()}) {
    options = Options("b");
    options.join = {Address(*contact)};
    auto second = Start(std::move(options));
    EXPECT_TRUE(Eventually([&] { return second->View()->standing.name_conflict; }));
    EXPECT_FALSE(second->View()->standing.announced);
  }
  EXPECT_EQ(2u, Alive(*a));
  EXPECT_EQ(before, b->View()->incarnation);
  EXPECT_FALSE(b->View()->standing.name_conflict);
}

TEST_F(NodeTest, ARevokedCertificateEndsMembershipAtOnce) {
  auto a = Start(Options("a"));
  NodeOptions options = Options("b");
  options.join = {Address(*a)};
  const TlsMaterial of_b = options.tls;
  auto b = Start(std::move(options));
  ASSERT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
  auto certificate = ::sotto::Certificate::FromPem(of_b.cert_pem);
  ASSERT_TRUE(certificate.ok());
  auto crl = CreateRevocationList(authority_, {(*certificate)->SerialHex()}, now_ - 60, 86'400);
  ASSERT_TRUE(crl.ok()) << Describe(crl.status());
  TlsMaterial material = Options("a").tls;
  material.crl_pem = *crl;
  const absl::Status reloaded = a->ReloadTls(material);
  ASSERT_TRUE(reloaded.ok()) << Describe(reloaded);
  EXPECT_EQ(1u, Alive(*a));
  EXPECT_EQ(MemberState::kDead, StateOf(*a, "b"));
  // It goes on talking, and stays out.
  const uint64_t unknown = a->Stats().drops[static_cast<size_t>(DropReason::kUnknownBoot)];
  EXPECT_TRUE(Eventually([&] {
    return a->Stats().drops[static_cast<size_t>(DropReason::kUnknownBoot)] > unknown + 3;
  }));
  EXPECT_EQ(1u, Alive(*a));
  // A reload that cannot work changes nothing.
  material.cert_pem = of_b.cert_pem;
  EXPECT_EQ("CERT_KEY_MISMATCH", ErrorCode(a->ReloadTls(material)));
  EXPECT_EQ(1u, Alive(*a));
}

TEST_F(NodeTest, WorksOnIpv6) {
  NodeOptions options = Options("a");
  options.bind = {"[::1]:0"};
  auto a = Start(std::move(options));
  options = Options("b");
  options.bind = {"[::1]:0"};
  options.join = {Address(*a)};
  auto b = Start(std::move(options));
  EXPECT_TRUE(Eventually([&] { return Alive(*a) == 2 && Alive(*b) == 2; }));
}

}  // namespace
}  // namespace sotto
