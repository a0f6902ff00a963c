// The benches run and print what programs read: small runs, no figure is judged but counts.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <boost/json.hpp>
#include <cstdio>
#include <string>

namespace sotto {
namespace {

struct Output {
  std::string text;
  int exit_code = -1;
};

// Runs a program of ours with its standard output read to the end.
Output RunBench(const std::string& command) {
  Output output;
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return output;
  char buffer[4096];
  for (size_t size = 0; (size = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
    output.text.append(buffer, size);
  }
  const int status = pclose(pipe);
  output.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return output;
}

double Number(const boost::json::object& object, const char* key) {
  const boost::json::value* const value = object.if_contains(key);
  if (value == nullptr || !value->is_number()) {
    ADD_FAILURE() << "no number " << key << " in " << boost::json::serialize(object);
    return -1;
  }
  return value->to_number<double>();
}

TEST(FrameBench, PrintsEveryKeyLengthAndSizeAndAllocatesNothing) {
  const Output output = RunBench("tools/bench/frame --json --quick");
  ASSERT_EQ(output.exit_code, 0);
  const boost::json::value parsed = boost::json::parse(output.text);
  ASSERT_TRUE(parsed.is_array());
  size_t pooled = 0;
  for (const boost::json::value& value : parsed.as_array()) {
    const boost::json::object& row = value.as_object();
    for (const char* key : {"seal_ns", "open_ns", "openssl_seal_ns", "openssl_open_ns", "ratio"}) {
      EXPECT_GT(Number(row, key), 0) << key;
    }
    EXPECT_EQ(Number(row, "allocations"), 0) << boost::json::serialize(row);
    EXPECT_EQ(static_cast<int>(Number(row, "key_bits")) % 64, 0);
    pooled += row.at("session").as_string() == "pooled";
  }
  EXPECT_EQ(pooled, 9u) << "three sizes under three key lengths";
  EXPECT_EQ(parsed.as_array().size(), 18u);
}

TEST(FrameBench, CountsWhatStatementsAllocate) {
  const Output output = RunBench("tools/bench/frame --json --quick --statements");
  ASSERT_EQ(output.exit_code, 0);
  const boost::json::value parsed = boost::json::parse(output.text);
  ASSERT_EQ(parsed.as_array().size(), 2u);
  for (const boost::json::value& value : parsed.as_array()) {
    EXPECT_GT(Number(value.as_object(), "sign_ns"), 0);
    EXPECT_GT(Number(value.as_object(), "verify_ns"), 0);
    EXPECT_GT(Number(value.as_object(), "sign_allocations"), 0) << "the counter works";
  }
}

TEST(ClusterBench, PrintsTheFieldsOfItsPeer) {
  const Output output =
      RunBench("tools/bench/cluster --nodes 5 --kill 1 --rest 500ms --steady 1s --json");
  ASSERT_EQ(output.exit_code, 0);
  const boost::json::value parsed = boost::json::parse(output.text);
  const boost::json::object& object = parsed.as_object();
  EXPECT_EQ(Number(object, "nodes"), 5);
  for (const char* key :
       {"join_converge_s", "join_cpu_s", "steady_cpu_ms_per_node_s", "steady_bytes_per_node_s",
        "steady_packets_per_node_s", "crash_first_dead_median_s", "crash_all_dead_median_s"}) {
    EXPECT_GT(Number(object, key), 0) << key;
  }
  EXPECT_FALSE(object.contains("join_timeout"));
  EXPECT_TRUE(object.contains("rss_bytes_per_node"));
  for (const char* key : {"broadcast_p50_s", "broadcast_p99_s", "broadcast_all_median_s"}) {
    EXPECT_GT(Number(object, key), 0) << key;
  }
  EXPECT_LE(Number(object, "crash_first_dead_median_s"), Number(object, "crash_all_dead_median_s"));
  EXPECT_EQ(Number(object, "false_dead_events"), 0);
}

TEST(ClusterBench, LosesDatagramsWhenAsked) {
  const Output output =
      RunBench("tools/bench/cluster --nodes 3 --kill 0 --rest 0s --steady 2s --loss 0.5 --json");
  ASSERT_EQ(output.exit_code, 0);
  const boost::json::value parsed = boost::json::parse(output.text);
  EXPECT_GT(Number(parsed.as_object(), "datagrams_dropped"), 0);
}

TEST(RotationBench, DropsNoFrameForAKeyReason) {
  const Output output = RunBench("tools/bench/rotation --nodes 8 --rotations 3 --loss 0.2 --json");
  EXPECT_EQ(output.exit_code, 0) << output.text;
  const boost::json::value parsed = boost::json::parse(output.text);
  const boost::json::object& object = parsed.as_object();
  EXPECT_EQ(object.at("rotation_s").as_array().size(), 3u);
  EXPECT_GT(Number(object, "frames_received"), 0);
  EXPECT_GT(Number(object, "datagrams_lost"), 0);
  EXPECT_EQ(Number(object, "key_drops"), 0);
  EXPECT_EQ(Number(object.at("dropped").as_object(), "unknown_key"), 0);
  EXPECT_EQ(Number(object.at("dropped").as_object(), "bad_tag"), 0);
}

TEST(Benches, RefuseWhatTheyDoNotUnderstand) {
  EXPECT_EQ(RunBench("tools/bench/frame --batches 0 2>&1").exit_code, 2);
  EXPECT_EQ(RunBench("tools/bench/cluster --steady soon 2>&1").exit_code, 2);
  EXPECT_EQ(RunBench("tools/bench/cluster --nodes 3 --kill 2 2>&1").exit_code, 2);
  EXPECT_EQ(RunBench("tools/bench/cluster --help").exit_code, 0);
  EXPECT_EQ(RunBench("tools/bench/rotation --nodes 3 --without-database 2 2>&1").exit_code, 2);
}

}  // namespace
}  // namespace sotto
