// main() of a fuzz target in ordinary builds: each file of the folders named, then seeded mutations
// of them. The same inputs in every run; one that kills the process is printed in hex.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::vector<uint8_t>;

constexpr int kMutations = 4000;
constexpr size_t kInputBytesMax = 64 * 1024;
constexpr size_t kPrintedBytesMax = 8 * 1024;

// What runs now; for the handler of a fatal signal.
const Input* current = nullptr;
int current_number = 0;

// Only calls that a signal handler may make.
void Report(int signal_number) {
  static constexpr char kDigits[] = "0123456789abcdef";
  static char line[2 * kPrintedBytesMax + 64];
  size_t at = 0;
  const auto text = [&at](const char* part) {
    for (; *part != '\0'; ++part) line[at++] = *part;
  };
  text(current_number < 0 ? "seed" : "mutation");
  text(" failed, its bytes: ");
  for (size_t i = 0; i < std::min(current->size(), kPrintedBytesMax); ++i) {
    line[at++] = kDigits[(*current)[i] >> 4];
    line[at++] = kDigits[(*current)[i] & 15];
  }
  text("\n");
  if (write(STDERR_FILENO, line, at) < 0) _exit(2);
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

void Run(const Input& input, int number) {
  current = &input;
  current_number = number;
  // A copy of exact size, so that a sanitizer sees a read past the end.
  const Input exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

std::vector<Input> ReadSeeds(int count, char** folders) {
  std::vector<std::filesystem::path> paths;
  for (int i = 0; i < count; ++i) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folders[i])) {
      if (entry.is_regular_file()) paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Input> seeds;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return seeds;
}

class Mutator {
 public:
  explicit Mutator(const std::vector<Input>& seeds) : seeds_(seeds) {}

  Input Next() {
    Input input = AnySeed();
    const size_t changes = 1 + Below(4);
    for (size_t i = 0; i < changes; ++i) Change(input);
    if (input.size() > kInputBytesMax) input.resize(kInputBytesMax);
    return input;
  }

 private:
  size_t Below(size_t bound) { return static_cast<size_t>(random_() % bound); }
  const Input& AnySeed() { return seeds_[Below(seeds_.size())]; }

  void Change(Input& input) {
    const size_t at = Below(input.size() + 1);
    const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
    switch (Below(7)) {
      case 0:
        if (at < input.size()) input[at] ^= static_cast<uint8_t>(1u << Below(8));
        break;
      case 1:
        if (at < input.size()) input[at] = Interesting();
        break;
      case 2:
        input.resize(at);
        break;
      case 3:
        input.insert(place, 1 + Below(16), Interesting());
        break;
      case 4:
        input.erase(place, place + static_cast<std::ptrdiff_t>(Below(input.size() - at + 1)));
        break;
      case 5: {
        // The head of this one, the tail of another.
        const Input& other = AnySeed();
        const size_t from = Below(other.size() + 1);
        input.resize(at);
        input.insert(input.end(), other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
        break;
      }
      default:
        for (size_t i = at; i < std::min(at + 4, input.size()); ++i) input[i] = Interesting();
        break;
    }
  }

  uint8_t Interesting() {
    static constexpr uint8_t kValues[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff, '=', '"', '\n'};
    const size_t choice = Below(2 * std::size(kValues));
    return choice < std::size(kValues) ? kValues[choice] : static_cast<uint8_t>(Below(256));
  }

  const std::vector<Input>& seeds_;
  std::mt19937_64 random_{20};
};

}  // namespace

int main(int argc, char** argv) {
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(number, Report);
  const std::vector<Input> seeds = ReadSeeds(argc - 1, argv + 1);
  if (seeds.empty()) {
    std::fprintf(stderr, "no seeds: name folders that hold some\n");
    return 1;
  }
  for (const Input& seed : seeds) Run(seed, -1);
  Mutator mutator(seeds);
  for (int i = 0; i < kMutations; ++i) Run(mutator.Next(), i);
  std::printf("%zu seeds, %d mutations\n", seeds.size(), kMutations);
  return 0;
}
