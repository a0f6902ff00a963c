#include "gossip/coordinate.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace sotto {
namespace {

// The constants of serf: proven in the field.
constexpr double kErrorMax = 1.5;
constexpr double kErrorGain = 0.25;
constexpr double kPositionGain = 0.25;
constexpr double kHeightMin = 10e-6;
constexpr double kGravityRho = 150.0;
constexpr double kZero = 1e-6;
constexpr size_t kLatencyFilter = 3;
constexpr double kRttMax = 10.0;
// Ours. A claimed error of nothing must not pull with full weight; and whoever claims to be far
// away while it answers at once moves us no further than the round trip could be wrong.
constexpr double kErrorMin = 0.02;
constexpr double kSurplusMin = 0.010;

using Vector = std::array<double, kCoordinateDimensions>;

double Magnitude(const Vector& v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::sqrt(sum);
}

Vector Difference(const Vector& a, const Vector& b) {
  Vector out;
  for (size_t i = 0; i < out.size(); ++i) out[i] = a[i] - b[i];
  return out;
}

double RawDistance(const Coordinate& a, const Coordinate& b) {
  return Magnitude(Difference(a.vector, b.vector)) + a.height + b.height;
}

double Distance(const Coordinate& a, const Coordinate& b) {
  const double raw = RawDistance(a, b);
  const double adjusted = raw + a.adjustment + b.adjustment;
  return adjusted > 0 ? adjusted : raw;
}

// IEEE's binary16, rounded to the nearest; what is too large becomes the largest.
uint16_t ToHalf(double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double size = std::min(std::abs(value), 65504.0);
  if (!(size >= 0x1p-14)) return static_cast<uint16_t>(sign | std::lround(size * 0x1p24));
  int exponent = std::ilogb(size);
  long mantissa = std::lround(std::ldexp(size, 10 - exponent));
  if (mantissa == 2048) {
    mantissa = 1024;
    ++exponent;
  }
  return static_cast<uint16_t>(sign | ((exponent + 15) << 10) | (mantissa - 1024));
}

std::optional<double> FromHalf(uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const double mantissa = half & 1023;
  if (exponent == 31) return std::nullopt;  // infinity, or none at all
  const double size =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25);
  return (half & 0x8000) != 0 ? -size : size;
}

bool IsSound(const Coordinate& c) {
  const auto bounded = [](double x) { return std::isfinite(x) && std::abs(x) <= kCoordinateMax; };
  return std::all_of(c.vector.begin(), c.vector.end(), bounded) && bounded(c.height) &&
         c.height >= 0 && bounded(c.adjustment) && c.error >= 0 && c.error <= kErrorMax * 1.01;
}

}  // namespace

std::string EncodeCoordinate(const Coordinate& coordinate) {
  std::string out;
  const auto put = [&out](double value) {
    const uint16_t half = ToHalf(value);
    out.push_back(static_cast<char>(half >> 8));
    out.push_back(static_cast<char>(half));
  };
  for (const double x : coordinate.vector) put(x * 1e3);
  put(coordinate.height * 1e3);
  put(coordinate.adjustment * 1e3);
  put(coordinate.error);
  return out;
}

std::optional<Coordinate> DecodeCoordinate(std::string_view bytes) {
  if (bytes.size() != kCoordinateWireBytes) return std::nullopt;
  std::array<double, kCoordinateWireBytes / 2> values;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto high = static_cast<uint8_t>(bytes[2 * i]);
    const auto low = static_cast<uint8_t>(bytes[2 * i + 1]);
    const std::optional<double> value = FromHalf(static_cast<uint16_t>(high << 8 | low));
    if (!value) return std::nullopt;
    values[i] = *value;
  }
  Coordinate out;
  for (size_t i = 0; i < out.vector.size(); ++i) out.vector[i] = values[i] / 1e3;
  out.height = values[kCoordinateDimensions] / 1e3;
  out.adjustment = values[kCoordinateDimensions + 1] / 1e3;
  out.error = values[kCoordinateDimensions + 2];
  if (!IsSound(out)) return std::nullopt;
  out.height = std::max(out.height, kHeightMin);
  return out;
}

Duration EstimateRtt(const Coordinate& a, const Coordinate& b) {
  return Duration::Nanos(static_cast<int64_t>(Distance(a, b) * 1e9));
}

bool CoordinateTable::Learn(Instant now, std::string_view member, std::string_view bytes) {
  const std::optional<Coordinate> coordinate = DecodeCoordinate(bytes);
  if (!coordinate) return false;
  auto it = members_.find(member);
  if (it == members_.end()) it = members_.emplace(std::string(member), Member{}).first;
  it->second.coordinate = *coordinate;
  it->second.told = now;
  it->second.known = true;
  return true;
}

bool CoordinateTable::Observe(Instant now, std::string_view member, Duration measured) {
  const double rtt = static_cast<double>(measured.nanos()) / 1e9;
  if (!(rtt >= 0) || rtt > kRttMax) return false;
  const auto it = members_.find(member);
  if (it == members_.end() || !it->second.known || now - it->second.told > kFresh) return true;
  // One late answer says nothing: the median of the last three.
  std::deque<double>& rtts = it->second.rtts;
  rtts.push_back(rtt);
  if (rtts.size() > kLatencyFilter) rtts.pop_front();
  std::vector<double> sorted(rtts.begin(), rtts.end());
  std::sort(sorted.begin(), sorted.end());
  const double median = std::max(sorted[sorted.size() / 2], kZero);

  Coordinate other = it->second.coordinate;
  other.error = std::max(other.error, kErrorMin);
  Step(other, median);
  Adjust(other, median);
  PullToOrigin();
  if (!IsSound(own_)) own_ = Coordinate();
  return true;
}

void CoordinateTable::Step(const Coordinate& other, double rtt) {
  const double distance = Distance(own_, other);
  const double wrongness = std::min(std::abs(distance - rtt) / rtt, kErrorMax);
  const double weight = own_.error / (own_.error + other.error);
  own_.error = kErrorGain * weight * wrongness + own_.error * (1 - kErrorGain * weight);
  own_.error = std::clamp(own_.error, kErrorMin, kErrorMax);

  const double surplus = std::max(rtt - distance, -std::max(rtt, kSurplusMin));
  const double force = kPositionGain * weight * surplus;
  Vector direction = Difference(own_.vector, other.vector);
  double length = Magnitude(direction);
  const bool same_place = length <= kZero;
  if (same_place) {
    for (double& x : direction) x = NextRandom() - 0.5;
    length = Magnitude(direction);
  }
  for (size_t i = 0; i < direction.size(); ++i) own_.vector[i] += direction[i] / length * force;
  if (same_place) return;
  // Between places close to each other the quotient has no bound of its own.
  const double rise = (own_.height + other.height) * force / length;
  own_.height += std::clamp(rise, -std::abs(force), std::abs(force));
  own_.height = std::max(own_.height, kHeightMin);
}

void CoordinateTable::Adjust(const Coordinate& other, double rtt) {
  const double surplus = std::max(rtt - RawDistance(own_, other), -std::max(rtt, kSurplusMin));
  samples_[next_sample_] = surplus;
  next_sample_ = (next_sample_ + 1) % samples_.size();
  double sum = 0;
  for (const double sample : samples_) sum += sample;
  own_.adjustment = sum / (2.0 * static_cast<double>(samples_.size()));
}

// Keeps the whole cluster from drifting away.
void CoordinateTable::PullToOrigin() {
  const double length = Magnitude(own_.vector);
  if (length <= kZero) return;
  const double pull = std::min(std::pow(length / kGravityRho, 2.0), length);
  for (double& x : own_.vector) x -= x / length * pull;
}

const Coordinate* CoordinateTable::Find(std::string_view member) const {
  const auto it = members_.find(member);
  return it != members_.end() && it->second.known ? &it->second.coordinate : nullptr;
}

// xorshift64*: only to leave a place where two coordinates coincide.
double CoordinateTable::NextRandom() {
  random_ ^= random_ >> 12;
  random_ ^= random_ << 25;
  random_ ^= random_ >> 27;
  return static_cast<double>((random_ * 0x2545f4914f6cdd1dULL) >> 11) * 0x1p-53;
}

}  // namespace sotto
