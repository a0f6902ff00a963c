// Network coordinates: that they find a known geometry again, and what a liar can do to them.
#include "gossip/coordinate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gossip/rng.h"
#include "gtest/gtest.h"

namespace sotto {
namespace {

double Seconds(Duration d) { return static_cast<double>(d.nanos()) / 1e9; }

std::string Name(size_t i) { return "n" + std::to_string(i); }

// Members at known places of a plane, each behind a last mile of its own. They probe each other as
// nodes do, and tell their coordinates as rarely.
class Geometry {
 public:
  Geometry(size_t nodes, uint64_t seed) : rng_(seed) {
    for (size_t i = 0; i < nodes; ++i) {
      places_.push_back({Uniform(0.1), Uniform(0.1), 0.001 + Uniform(0.004)});
      tables_.emplace_back(seed + i);
      told_.push_back(Instant::FromNanos(-60'000'000'000));
    }
  }

  double TrueRtt(size_t a, size_t b) const {
    const double x = places_[a].x - places_[b].x, y = places_[a].y - places_[b].y;
    return std::sqrt(x * x + y * y) + places_[a].mile + places_[b].mile;
  }

  // One probe of each node in each second; its answer carries a coordinate once in ten.
  void RunFor(int seconds) {
    for (int s = 0; s < seconds; ++s) {
      now_ += Duration::Seconds(1);
      for (size_t a = 0; a < tables_.size(); ++a) {
        size_t b = rng_.Below(static_cast<uint32_t>(tables_.size()));
        if (a == b) continue;
        if (now_ - told_[b] >= Duration::Seconds(10)) {
          told_[b] = now_;
          EXPECT_TRUE(tables_[a].Learn(now_, Name(b), EncodeCoordinate(tables_[b].own())));
        }
        const double jitter = 0.95 + Uniform(0.1);
        const auto ns = static_cast<int64_t>(TrueRtt(a, b) * jitter * 1e9);
        EXPECT_TRUE(tables_[a].Observe(now_, Name(b), Duration::Nanos(ns)));
      }
    }
  }

  // Of all pairs, at this share of the way from the best to the worst.
  double RelativeError(double share, size_t nodes) const {
    std::vector<double> errors;
    for (size_t a = 0; a < nodes; ++a) {
      for (size_t b = 0; b < a; ++b) {
        const double estimate = Seconds(EstimateRtt(tables_[a].own(), tables_[b].own()));
        errors.push_back(std::abs(estimate - TrueRtt(a, b)) / TrueRtt(a, b));
      }
    }
    std::sort(errors.begin(), errors.end());
    return errors[static_cast<size_t>(share * static_cast<double>(errors.size() - 1))];
  }

  std::vector<CoordinateTable>& tables() { return tables_; }
  Instant now() const { return now_; }
  double Uniform(double below) { return below * rng_.Below(1'000'000) / 1e6; }

 private:
  struct Place {
    double x, y, mile;
  };
  Rng rng_;
  std::vector<Place> places_;
  std::vector<CoordinateTable> tables_;
  std::vector<Instant> told_;
  Instant now_;
};

TEST(Coordinates, FindTheGeometryAgain) {
  for (const size_t nodes : {5u, 20u, 60u}) {
    Geometry geometry(nodes, 7);
    const double before = geometry.RelativeError(0.5, nodes);
    EXPECT_GT(before, 0.9) << nodes;
    geometry.RunFor(30 * 60);
    EXPECT_LT(geometry.RelativeError(0.5, nodes), 0.1) << nodes;
    EXPECT_LT(geometry.RelativeError(0.9, nodes), 0.3) << nodes;
    for (const CoordinateTable& table : geometry.tables()) EXPECT_LT(table.own().error, 0.4);
  }
}

TEST(Coordinates, OnTheWireAreSmallAndSurviveTheJourney) {
  Geometry geometry(10, 3);
  geometry.RunFor(600);
  for (const CoordinateTable& table : geometry.tables()) {
    const std::string bytes = EncodeCoordinate(table.own());
    EXPECT_EQ(kCoordinateWireBytes, bytes.size());
    const auto back = DecodeCoordinate(bytes);
    ASSERT_TRUE(back.has_value());
    for (size_t i = 0; i < kCoordinateDimensions; ++i) {
      const double want = table.own().vector[i];
      EXPECT_NEAR(want, back->vector[i], std::abs(want) * 1e-3 + 1e-9);
    }
    EXPECT_NEAR(table.own().height, back->height, table.own().height * 1e-3);
    EXPECT_NEAR(table.own().error, back->error, 1e-3);
  }
  // Every half float but infinities and nothings comes back as itself.
  Coordinate coordinate;
  for (const double value : {0.0, 6e-11, -6e-11, 1e-6, 0.0001, -0.25, 1.0, -9.9, 10.0}) {
    coordinate.vector[0] = value;
    const auto back = DecodeCoordinate(EncodeCoordinate(coordinate));
    ASSERT_TRUE(back.has_value()) << value;
    EXPECT_NEAR(value, back->vector[0], std::abs(value) * 1e-3 + 1e-10);
  }
}

TEST(Coordinates, ThatCannotBeAreRefused) {
  Coordinate good;
  ASSERT_TRUE(DecodeCoordinate(EncodeCoordinate(good)).has_value());
  EXPECT_FALSE(DecodeCoordinate("").has_value());
  EXPECT_FALSE(DecodeCoordinate(EncodeCoordinate(good) + "x").has_value());
  EXPECT_FALSE(DecodeCoordinate(std::string(kCoordinateWireBytes, '\xff')).has_value());
  const auto with = [&](size_t at, uint16_t half) {
    std::string bytes = EncodeCoordinate(good);
    bytes[2 * at] = static_cast<char>(half >> 8);
    bytes[2 * at + 1] = static_cast<char>(half);
    return DecodeCoordinate(bytes).has_value();
  };
  for (size_t at = 0; at < kCoordinateWireBytes / 2; ++at) {
    EXPECT_FALSE(with(at, 0x7c00)) << at;  // infinity
    EXPECT_FALSE(with(at, 0xfc00)) << at;
    EXPECT_FALSE(with(at, 0x7e00)) << at;  // not a number
    EXPECT_FALSE(with(at, 0x7bff)) << at;  // 65 s
  }
  EXPECT_FALSE(with(8, 0xbc00));   // a negative height
  EXPECT_FALSE(with(10, 0xbc00));  // a negative error
  EXPECT_TRUE(with(0, 0x3c00));
  CoordinateTable table(1);
  EXPECT_FALSE(table.Learn(Instant(), "a", "short"));
  EXPECT_EQ(nullptr, table.Find("a"));
}

TEST(Coordinates, AreNotMovedByRoundTripsThatCannotBe) {
  CoordinateTable table(1);
  ASSERT_TRUE(table.Learn(Instant(), "a", EncodeCoordinate(Coordinate())));
  const Coordinate before = table.own();
  EXPECT_FALSE(table.Observe(Instant(), "a", Duration::Millis(-1)));
  EXPECT_FALSE(table.Observe(Instant(), "a", Duration::Millis(10'001)));
  EXPECT_TRUE(table.Observe(Instant(), "unknown", Duration::Millis(5)));
  const Instant late = Instant() + CoordinateTable::kFresh + Duration::Nanos(1);
  EXPECT_TRUE(table.Observe(late, "a", Duration::Millis(5)));
  EXPECT_EQ(before.vector, table.own().vector);
  EXPECT_EQ(before.error, table.own().error);
  EXPECT_TRUE(table.Observe(Instant(), "a", Duration::Millis(5)));
  EXPECT_NE(before.vector, table.own().vector);
}

// How far one sample moves a node that has settled.
double Jump(CoordinateTable& table, Instant now, const Coordinate& claim, Duration rtt) {
  EXPECT_TRUE(table.Learn(now, "liar", EncodeCoordinate(claim)));
  const Coordinate before = table.own();
  EXPECT_TRUE(table.Observe(now, "liar", rtt));
  double sum = 0;
  for (size_t i = 0; i < kCoordinateDimensions; ++i) {
    sum += std::pow(table.own().vector[i] - before.vector[i], 2);
  }
  return std::sqrt(sum) + std::abs(table.own().height - before.height) +
         std::abs(table.own().adjustment - before.adjustment);
}

TEST(Coordinates, ALiarMovesOthersALittleAtATime) {
  Geometry geometry(20, 11);
  geometry.RunFor(30 * 60);
  Coordinate far;
  far.vector.fill(-kCoordinateMax);
  far.height = kCoordinateMax;
  far.error = 0;
  Coordinate near = geometry.tables()[1].own();
  near.vector[0] += 2e-6;
  near.error = 0;
  for (const Coordinate& claim : {far, near}) {
    for (const Duration rtt : {Duration::Micros(50), Duration::Millis(10), Duration::Millis(400)}) {
      CoordinateTable table = geometry.tables()[0];
      // Half a round trip for step and height, and a fortieth for the adjustment.
      const double bound = 0.55 * std::max(Seconds(rtt), 0.010);
      EXPECT_LE(Jump(table, geometry.now(), claim, rtt), bound) << rtt.nanos();
    }
  }
}

TEST(Coordinates, SurviveALiarAmongTwenty) {
  Geometry geometry(20, 5);
  geometry.RunFor(30 * 60);
  const double honest = geometry.RelativeError(0.5, 19);
  for (int second = 0; second < 600; ++second) {
    geometry.RunFor(1);
    // The last one claims another end of the world each time, and that it is sure.
    Coordinate lie;
    for (double& x : lie.vector) x = geometry.Uniform(2 * kCoordinateMax) - kCoordinateMax;
    lie.error = 0;
    const auto victim = static_cast<size_t>(geometry.Uniform(19));
    const std::string bytes = EncodeCoordinate(lie);
    ASSERT_TRUE(geometry.tables()[victim].Learn(geometry.now(), Name(19), bytes));
    geometry.tables()[victim].Observe(geometry.now(), Name(19), Duration::Millis(20));
  }
  EXPECT_LT(honest, 0.1);
  EXPECT_LT(geometry.RelativeError(0.5, 19), 0.3);
}

TEST(Coordinates, OfMembersThatAreGoneAreForgotten) {
  CoordinateTable table(1);
  for (size_t i = 0; i < 10; ++i) {
    ASSERT_TRUE(table.Learn(Instant(), Name(i), EncodeCoordinate(Coordinate())));
  }
  table.Retain([](std::string_view name) { return name < "n5"; });
  EXPECT_EQ(5u, table.size());
  EXPECT_NE(nullptr, table.Find("n4"));
  EXPECT_EQ(nullptr, table.Find("n5"));
}

}  // namespace
}  // namespace sotto
