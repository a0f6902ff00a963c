// Which failures of a dial are this machine's own, and which may be the other's.
#include "gossip/udp_transport.h"

#include <cerrno>

#include "gtest/gtest.h"

namespace sotto {
namespace {

boost::system::error_code Of(int error) { return {error, boost::system::system_category()}; }

TEST(UdpTransport, OwnRefusalsAreThoseOfWhichNothingLeft) {
  for (const int error :
       {EPERM, EACCES, ENETDOWN, ENETUNREACH, EADDRNOTAVAIL, ENOBUFS, ENOMEM, EMFILE, ENFILE}) {
    EXPECT_TRUE(IsOwnRefusal(Of(error))) << error;
  }
  for (const int error :
       {0, ECONNREFUSED, ETIMEDOUT, ECONNRESET, EHOSTUNREACH, EHOSTDOWN, EPIPE, EINPROGRESS}) {
    EXPECT_FALSE(IsOwnRefusal(Of(error))) << error;
  }
}

}  // namespace
}  // namespace sotto
