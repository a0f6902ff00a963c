// How far two words are apart, for "did you mean".
#ifndef SOTTO_GOSSIP_BASE_EDIT_DISTANCE_H_
#define SOTTO_GOSSIP_BASE_EDIT_DISTANCE_H_

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string_view>
#include <vector>

namespace sotto {

// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`. Words longer
// than 100 bytes are as far apart as can be: nobody means them.
inline size_t EditDistance(std::string_view a, std::string_view b) {
  constexpr size_t kWordBytesMax = 100;
  if (a.size() > kWordBytesMax || b.size() > kWordBytesMax) return a.size() + b.size();
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replace, last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace sotto

#endif  // SOTTO_GOSSIP_BASE_EDIT_DISTANCE_H_
