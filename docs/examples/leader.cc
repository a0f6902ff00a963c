// One of the members leads: the one with the lowest name that is alive.
//   leader FOLDER BIND [CONTACT...]
//
// No election is held, so nobody waits for one; the price is that while members see different
// clusters, they may name different leaders. A node that sees only a minority of the members it
// knew does not lead. Two can still lead for some seconds while a partition is being noticed: what
// must never be done twice needs more than a hint (failover_test.cc shows how to test for that).
#include <sotto/node.h>
#include <sotto/store.h>

#include <chrono>
#include <iostream>
#include <limits>
#include <string>

namespace {

// Tells whenever the answer to "who leads?" changes.
class Leadership {
 public:
  explicit Leadership(std::string self) : self_(std::move(self)) {}

  void Look(const sotto::NodeView& view) {
    std::string leader = view.leader;
    if (view.standing.minority || view.standing.isolated) leader = "nobody";
    if (leader == leader_) return;
    leader_ = leader;
    std::cout << (leader == self_ ? "I lead" : leader + " leads") << std::endl;
  }

 private:
  std::string self_, leader_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  sotto::NodeOptions options = sotto::NodeOptions::Local();
  options.bind = {argv[2]};
  options.join.assign(argv + 3, argv + argc);
  const absl::Status loaded = LoadNodeFiles(sotto::NodeFiles::In(argv[1]), &options);
  auto node = loaded.ok() ? sotto::Node::Start(options) : loaded;
  if (!node.ok()) {
    std::cerr << sotto::Describe(node.status()) << std::endl;
    return 1;
  }
  std::cout << "listening on " << ToString((*node)->View()->bound.front()) << std::endl;
  Leadership leadership(options.name);
  // Every item comes with a picture at least as new: what changed does not matter here.
  const auto watch =
      (*node)->Watch([&](const sotto::WatchItem& item) { leadership.Look(*item.view); });
  std::cin.ignore(std::numeric_limits<std::streamsize>::max());
  return (*node)->Leave(std::chrono::seconds(5)).ok() ? 0 : 1;
}
