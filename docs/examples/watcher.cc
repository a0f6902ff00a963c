// Who is in the cluster, and who comes and goes, until standard input ends.
//   watcher FOLDER BIND [CONTACT...]   FOLDER holds pki/ and state/, as docs/library.md lays it out
#include <sotto/node.h>
#include <sotto/store.h>

#include <chrono>
#include <iostream>
#include <limits>

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
  const auto watch = (*node)->Watch([](const sotto::WatchItem& item) {
    if (const auto* event = std::get_if<sotto::Event>(&item.body)) {
      std::cout << event->member << " " << ToString(event->kind) << std::endl;
    } else if (const auto* now = std::get_if<sotto::WatchSnapshot>(&item.body)) {
      // How things are: the first item, and again after a slow program has lost some.
      std::cout << "listening on " << ToString(now->view->bound.front()) << std::endl;
      for (const sotto::MemberInfo& member : now->view->members) {
        std::cout << member.name << " is " << ToString(member.state) << std::endl;
      }
    }
  });
  std::cin.ignore(std::numeric_limits<std::streamsize>::max());
  return (*node)->Leave(std::chrono::seconds(5)).ok() ? 0 : 1;  // the destructor tells nobody
}
