// A service registry without a server: each member offers services in its tags, and everybody lists
// those of the living.
//   registry FOLDER BIND [CONTACT...]     then, on standard input:
//     offer web 10.0.3.11:8080 | withdraw web | list web
#include <sotto/node.h>
#include <sotto/store.h>

#include <chrono>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

class ServiceRegistry {
 public:
  explicit ServiceRegistry(sotto::Node* node) : node_(node) {}

  // Tags hold 512 bytes in all: some ten services. TAGS_INVALID: too many, or a name that is no
  // tag.
  absl::Status Offer(const std::string& service, const std::string& address) {
    auto offered = offered_;
    offered[service] = address;
    return Publish(std::move(offered));
  }

  absl::Status Withdraw(const std::string& service) {
    auto offered = offered_;
    offered.erase(service);
    return Publish(std::move(offered));
  }

  // The addresses under which a service is offered now, by member.
  std::map<std::string, std::string> Providers(const std::string& service) const {
    std::map<std::string, std::string> found;
    const auto view = node_->View();  // held: a range's temporaries end before its loop
    for (const sotto::MemberInfo& member : view->members) {
      if (member.state != sotto::MemberState::kAlive) continue;
      for (const sotto::Tag& tag : member.claims->tags) {
        if (tag.key == kPrefix + service) found[member.name] = tag.value;
      }
    }
    return found;
  }

 private:
  static inline const std::string kPrefix = "service.";

  // SetTags replaces all tags of this node; it changes nothing if it fails.
  absl::Status Publish(std::map<std::string, std::string> offered) {
    std::vector<sotto::Tag> tags;
    for (const auto& [service, address] : offered) tags.push_back({kPrefix + service, address});
    const absl::Status status = node_->SetTags(std::move(tags));
    if (status.ok()) offered_ = std::move(offered);
    return status;
  }

  sotto::Node* node_;
  std::map<std::string, std::string> offered_;
};

void Obey(const std::string& line, ServiceRegistry& registry) {
  std::istringstream words(line);
  std::string verb, service, address;
  words >> verb >> service >> address;
  if (verb == "list") {
    const auto providers = registry.Providers(service);
    std::cout << service << " has " << providers.size();
    for (const auto& [name, where] : providers) std::cout << " " << name << "=" << where;
    std::cout << std::endl;
    return;
  }
  const absl::Status status =
      verb == "offer" ? registry.Offer(service, address) : registry.Withdraw(service);
  std::cout << (status.ok() ? "done" : sotto::Describe(status)) << std::endl;
}

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
  ServiceRegistry registry(node->get());
  for (std::string line; std::getline(std::cin, line);) Obey(line, registry);
  return (*node)->Leave(std::chrono::seconds(5)).ok() ? 0 : 1;
}
