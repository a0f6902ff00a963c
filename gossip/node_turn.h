// Whose turn it is to touch a node: an Asio executor whose handlers each hold one mutex.
//
// A node's work is ordered by a strand. A strand alone has no door for a caller who must not wait
// for a thread to run its io_context, because there may be none (the embedder has not begun, or is
// the one thread of it itself). Holding the mutex is as good as being on the strand, and every
// thread can.
//
// Threads: any. The mutex is recursive: a handler may run another inline.
#ifndef SOTTO_GOSSIP_NODE_TURN_H_
#define SOTTO_GOSSIP_NODE_TURN_H_

#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

namespace sotto {

using Turn = std::shared_ptr<std::recursive_mutex>;

template <typename Inner>
class TurnExecutor {
 public:
  TurnExecutor(Inner inner, Turn turn) noexcept
      : inner_(std::move(inner)), turn_(std::move(turn)) {}

  template <typename Property>
  auto query(const Property& property) const
      -> decltype(std::declval<const Inner&>().query(property)) {
    return inner_.query(property);
  }
  template <typename Property>
  auto require(const Property& property) const
      -> TurnExecutor<std::decay_t<decltype(std::declval<const Inner&>().require(property))>> {
    return {inner_.require(property), turn_};
  }
  template <typename Property>
  auto prefer(const Property& property) const
      -> TurnExecutor<std::decay_t<decltype(std::declval<const Inner&>().prefer(property))>> {
    return {inner_.prefer(property), turn_};
  }

  template <typename Function>
  void execute(Function function) const {
    inner_.execute([turn = turn_, function = std::move(function)]() mutable {
      const std::lock_guard lock(*turn);
      // Moved out, so that what it owns goes while the turn is held.
      Function run(std::move(function));
      std::move(run)();
    });
  }

  friend bool operator==(const TurnExecutor& a, const TurnExecutor& b) noexcept {
    return a.inner_ == b.inner_;
  }
  friend bool operator!=(const TurnExecutor& a, const TurnExecutor& b) noexcept {
    return !(a == b);
  }

 private:
  Inner inner_;
  Turn turn_;
};

}  // namespace sotto

#endif  // SOTTO_GOSSIP_NODE_TURN_H_
