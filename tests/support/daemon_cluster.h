// A test with real daemons: a Lab in a folder of its own, whose logs are shown when the test fails.
#ifndef SOTTO_TESTS_SUPPORT_DAEMON_CLUSTER_H_
#define SOTTO_TESTS_SUPPORT_DAEMON_CLUSTER_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cmd/demo/lab.h"
#include "tests/support/temp_dir.h"

namespace sotto {

// The sottod that the test names as data.
inline std::string TestSottod() {
  char folder[4096];
  const char* cwd = getcwd(folder, sizeof(folder));
  return absl::StrCat(cwd == nullptr ? "." : cwd, "/cmd/sottod/sottod");
}

class DaemonTest : public testing::Test {
 protected:
  using Millis = Lab::Millis;
  // Sanitized daemons are slower; a bound is a bound all the same.
#ifdef SOTTO_SANITIZER
  static constexpr int kSlow = 3;
#else
  static constexpr int kSlow = 1;
#endif

  static Millis Seconds(double seconds) {
    return Millis(static_cast<int64_t>(seconds * 1000 * kSlow));
  }

  // A lab without nodes.
  void MakeLab(LabOptions options = {}) {
    options.folder = folder_.path();
    options.sottod = TestSottod();
    auto lab = Lab::Create(options);
    ASSERT_TRUE(lab.ok()) << lab.status();
    lab_ = std::move(*lab);
  }

  // Adds, starts, and waits until all see all.
  void StartNodes(int count) {
    for (int i = 0; i < count; i++) {
      const auto node = lab_->AddNode({});
      ASSERT_TRUE(node.ok()) << node.status();
      ASSERT_TRUE(lab_->Start(*node).ok());
    }
    ASSERT_TRUE(lab_->WaitAgree(All(), All(), Seconds(15))) << Views();
  }

  std::vector<int> All() const {
    std::vector<int> all(static_cast<size_t>(lab_->size()));
    std::iota(all.begin(), all.end(), 0);
    return all;
  }

  // Everybody's table, for messages.
  std::string Views() const {
    std::string out;
    for (const int node : All()) {
      absl::StrAppend(&out, "\n", lab_->name(node), ":");
      for (const auto& [name, state] : lab_->StatesAt(node)) {
        absl::StrAppend(&out, " ", name, "=", state);
      }
    }
    return out;
  }

  // The number that the next event of `node` will have.
  int64_t NextEvent(int node) const {
    const auto answer = lab_->Get(node, "/v1/events?since=0&limit=1000000");
    if (!answer.ok()) return 0;
    const auto* next = answer->as_object().if_contains("next");
    return next == nullptr ? 0 : next->to_number<int64_t>();
  }
  std::vector<int64_t> NextEvents() const {
    std::vector<int64_t> out;
    for (const int node : All()) out.push_back(NextEvent(node));
    return out;
  }

  // Members of whom a node said `word` ("died") since `since` (one number a node), as "n1:n3".
  std::vector<std::string> Said(const std::string& word, const std::vector<int64_t>& since) const {
    std::vector<std::string> out;
    for (const int node : All()) {
      const int64_t from = since.empty() ? 0 : since[static_cast<size_t>(node)];
      const auto answer =
          lab_->Get(node, absl::StrCat("/v1/events?since=", from, "&limit=1000000"));
      if (!answer.ok()) continue;
      const auto* data = answer->as_object().if_contains("data");
      if (data == nullptr || !data->is_array()) continue;
      for (const auto& event : data->as_array()) {
        const auto& object = event.as_object();
        if (object.at("event").as_string() != word) continue;
        if (object.at("seq").to_number<int64_t>() < from) continue;
        out.push_back(absl::StrCat(lab_->name(node), ":", object.at("member").as_string().c_str()));
      }
    }
    return out;
  }

  // Holds for all of `duration`, or fails at once.
  bool Holds(Millis duration, const std::function<bool()>& condition) const {
    return !lab_->WaitUntil(duration, [&] { return !condition(); });
  }

  // After a fault has ended: for a while nobody is called dead, and then all see all. A suspicion
  // is no fault: a probe round that began before the end may still close with one, to be refuted.
  void ExpectCalm(Millis duration, const std::vector<int64_t>& since) const {
    EXPECT_TRUE(Holds(duration, [&] { return Said("died", since).empty(); }))
        << testing::PrintToString(Said("died", since));
    EXPECT_TRUE(lab_->WaitAgree(All(), All(), Seconds(8))) << Views();
  }

  void TearDown() override {
    if (lab_ == nullptr || !HasFailure()) return;
    for (const int node : All()) {
      const std::string log = lab_->LogOf(node);
      const size_t from = log.size() > 4000 ? log.size() - 4000 : 0;
      std::cerr << "---- log of " << lab_->name(node) << " ----\n" << log.substr(from) << "\n";
    }
    std::cerr << "---- views ----" << Views() << "\n";
  }

  TempDir folder_;
  std::unique_ptr<Lab> lab_;
};

}  // namespace sotto

#endif  // SOTTO_TESTS_SUPPORT_DAEMON_CLUSTER_H_
