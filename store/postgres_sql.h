// PostgreSQL behind sql.h, by libpq's asynchronous calls.
//
// Nothing but the URL and the password says where and as whom we connect: no PG* variable, password
// file, service file, client certificate or revocation list in the home folder has a say. The
// variables that libpq offers no other way around (PGSERVICE, PGHOSTADDR, PGREQUIREPEER and their
// like) are taken out of this process's environment when a driver is made.
// The host's name is resolved by the deadline (host_lookup.h), and its addresses are tried in turn.
// A call that is late closes the connection; the server itself ends the statement about then.
#ifndef SOTTO_STORE_POSTGRES_SQL_H_
#define SOTTO_STORE_POSTGRES_SQL_H_

#include <memory>

#include "crypto/secret_bytes.h"
#include "store/sql.h"
#include "store/store_url.h"

namespace sotto {

// An empty password: none is sent.
std::unique_ptr<SqlDriver> MakePostgresDriver(StoreUrl url, SecretBytes password);

}  // namespace sotto

#endif  // SOTTO_STORE_POSTGRES_SQL_H_
