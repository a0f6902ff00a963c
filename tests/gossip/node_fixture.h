// Real nodes in one process, on loopback, with certificates of one authority.
#ifndef SOTTO_TESTS_GOSSIP_NODE_FIXTURE_H_
#define SOTTO_TESTS_GOSSIP_NODE_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "crypto/authority.h"
#include "gossip/base/coded_error.h"
#include "gossip/node.h"

namespace sotto {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

inline constexpr char kCluster[] = "unit";

// True as soon as `condition` holds, false when `limit` has passed.
inline bool Eventually(const std::function<bool()>& condition, milliseconds limit = seconds(15)) {
  const auto end = steady_clock::now() + limit;
  while (!condition()) {
    if (steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

inline SecretBytes KeyBytes(uint8_t salt, size_t size) {
  SecretBytes key(size);
  for (size_t i = 0; i < size; ++i) {
    key.mutable_view()[i] = static_cast<uint8_t>(i * 37 + salt * 11 + 5);
  }
  return key;
}

class NodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    now_ = std::time(nullptr);
    auto authority = CreateAuthority(kCluster, SigningKeyKind::kP256, now_ - 3'600);
    ASSERT_TRUE(authority.ok()) << Describe(authority.status());
    authority_ = *authority;
  }

  TlsMaterial Certificate(const std::string& name, const PemPair& authority) const {
    IssueRequest request;
    request.identity = {kCluster, CertificateRole::kNode, name};
    request.not_before_unix_s = now_ - 300;
    request.not_after_unix_s = now_ + 86'400;
    auto pair = IssueCertificate(authority, request);
    EXPECT_TRUE(pair.ok()) << Describe(pair.status());
    return TlsMaterial{authority_.certificate_pem, pair->certificate_pem, pair->key_pem, ""};
  }

  NodeOptions Options(const std::string& name, size_t key_bytes = 32) const {
    NodeOptions options;
    options.cluster = kCluster;
    options.name = name;
    options.bind = {"127.0.0.1:0"};
    options.protocol = ProtocolOptions::Local();
    options.tls = Certificate(name, authority_);
    auto key = ClusterKey::Create(KeyBytes(1, key_bytes), kCluster, 1);
    EXPECT_TRUE(key.ok());
    options.keys = {*key};
    return options;
  }

  static std::unique_ptr<Node> Start(NodeOptions options) {
    auto node = Node::Start(std::move(options));
    EXPECT_TRUE(node.ok()) << Describe(node.status());
    return node.ok() ? *std::move(node) : nullptr;
  }

  static std::string Address(const Node& node) { return ToString(node.View()->bound.front()); }

  static size_t Alive(const Node& node) {
    const auto view = node.View();
    return static_cast<size_t>(
        std::count_if(view->members.begin(), view->members.end(),
                      [](const MemberInfo& m) { return m.state == MemberState::kAlive; }));
  }

  static MemberState StateOf(const Node& node, const std::string& name) {
    const auto view = node.View();  // held: a range's temporaries end before its loop
    for (const MemberInfo& member : view->members) {
      if (member.name == name) return member.state;
    }
    ADD_FAILURE() << name << " is not in the table";
    return MemberState::kForgotten;
  }

  int64_t now_ = 0;
  PemPair authority_;
};

}  // namespace sotto

#endif  // SOTTO_TESTS_GOSSIP_NODE_FIXTURE_H_
