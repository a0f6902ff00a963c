#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cmd/config/config.h"
#include "cmd/config/schema.h"

namespace sotto {
namespace {

std::string List(const std::vector<std::string>& texts) {
  std::vector<std::string> quoted;
  for (const std::string& text : texts) quoted.push_back(QuoteToml(text));
  return absl::StrCat("[", absl::StrJoin(quoted, ", "), "]");
}

}  // namespace

std::string DefaultConfigText(const DefaultConfigParams& params) {
  const std::string url = params.store_url.empty()
                              ? absl::StrCat("sqlite:", params.state_dir, "/sotto.db")
                              : params.store_url;
  const std::string name_line =
      params.name.empty() ? "# name    = \"gw-1\"              # default: the host's name\n"
                          : absl::StrCat("name      = ", QuoteToml(params.name), "\n");
  const std::string socket_line =
      params.socket.empty()
          ? "# socket = \"/run/sotto/admin.sock\"   # where `sotto` finds sottod\n"
          : absl::StrCat("socket = ", QuoteToml(params.socket), "\n");
  const std::string password_line =
      params.password_file.empty()
          ? "# password_file = \"/etc/sotto/sql.pass\"   # of a server's user; mode 0600\n"
          : absl::StrCat("password_file = ", QuoteToml(params.password_file), "\n");
  const std::string pki = params.folder + "/pki/";
  return absl::StrCat(
      "# sottod. Settings that are not here have their defaults: `sotto config show --origin`.\n"
      "# A misspelt key is an error. Check before a start: `sotto config check`.\n"
      "\n"
      "[node]\n"
      "cluster   = ",
      QuoteToml(params.cluster), "          # stands in every certificate\n", name_line,
      "# tags    = { role = \"gateway\", zone = \"fra1-a\" }\n"
      "state_dir = ",
      QuoteToml(params.state_dir),
      "\n\n"
      "[gossip]\n"
      "# This machine's address, UDP and TCP. There is no default, and none that listens "
      "everywhere.\n"
      "bind    = ",
      QuoteToml(params.bind),
      "\n"
      "# advertise = \"203.0.113.7:7950\"   # what the others send to, where that is not `bind`\n"
      "# The other nodes; one that answers is enough, and they are tried for ever.\n"
      "join    = ",
      List(params.join), "\nprofile = ", QuoteToml(params.profile),
      "              # local | lan | wan: sets every timer\n"
      "\n"
      "[store]\n"
      "# The table Systems with the cluster's key. An SQLite file serves one machine; several\n"
      "# share a database server, postgres://user@host/database or mysql://user@host/database,\n"
      "# or have each a file with the same key in it, `sotto keys import --from FILE`.\n"
      "url = ",
      QuoteToml(url), "\n", password_line,
      "\n"
      "# Wraps the cluster's key in that table, so that the database alone is not the key.\n"
      "# `sotto kek generate --to /etc/sotto/kek`, and the same file on every node.\n"
      "# [encryption]\n"
      "# kek = \"file:/etc/sotto/kek\"      # or folder:PATH, credential:NAME, env:NAME\n"
      "\n"
      "[sync.tls]\n"
      "# `sotto certs ca create`, then `sotto certs issue NAME` for each node.\n"
      "ca   = ",
      QuoteToml(pki + "ca.crt"), "\ncert = ", QuoteToml(pki + "node.crt"),
      "\nkey  = ", QuoteToml(pki + "node.key"),
      "\n\n"
      "[admin]\n",
      socket_line,
      "# group  = \"sotto\"                   # a group whose members may use it\n"
      "\n"
      "# A program to run on events; as many such tables as you like. docs/operations.md\n"
      "# [[handler]]\n"
      "# on  = [\"member_died\"]\n"
      "# run = [\"/usr/local/lib/failover\"]\n"
      "\n"
      "[log]\n"
      "level = \"info\"                  # debug | info | warn | error\n");
}

}  // namespace sotto
