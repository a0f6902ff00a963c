// Pages about the key at rest: key-encryption keys, wrapped values, the key cache. Sorted by code.
#include "gossip/base/code_pages_internal.h"

namespace sotto::internal {
namespace {

constexpr CodeInfo kPages[] = {
    {"KEK_ACTIVE_MISSING", "encryption.kek_active names no key-encryption key that is there.",
     "A mistyped file name, a file that was not copied yet, or encryption.kek is no folder.",
     "ls FOLDER; then set encryption.kek_active to the name of one of its files, or take it out"},
    {"KEK_AMBIGUOUS", "The folder holds several key-encryption keys, and none is said to wrap.",
     "A new key was put there beside the old one.",
     "encryption.kek_active = \"FILE NAME\" in the configuration of every node"},
    {"KEK_BACKUP_INVALID", "The file is no backup of wrapped values of this cluster.",
     "It was cut or edited, it is another cluster's, or another kind of file.",
     "Name the file that sotto kek rekey --backup FILE has written for this cluster"},
    {"KEK_BACKUP_PLAIN", "A backup of wrapped values would hold a key unwrapped.",
     "The store has plain values beside wrapped ones, or plain ones only.",
     "Rekey without --backup, once; from then on all values are wrapped"},
    {"KEK_BAD_BASE64", "The text of a key-encryption key is not strict base64.",
     "Raw bytes, the line ends of another system, white space, the URL-safe alphabet.",
     "Make one: sotto kek generate --to FILE; or head -c32 /dev/urandom | base64 -w0"},
    {"KEK_BAD_LENGTH", "A key-encryption key does not have 32 bytes.",
     "A truncated paste, a hex text, a key of the cluster in its place.",
     "Make one: sotto kek generate --to FILE; or head -c32 /dev/urandom | base64 -w0"},
    {"KEK_BESIDE_STORE", "The key-encryption key lies in the folder of the database.",
     "It was made where there was a folder already. A backup of that folder, or a thief of it, has "
     "both, and the wrapping is worth nothing.",
     "Move it to a folder of its own, outside the backup of the database: mv PATH /etc/sotto/kek"},
    {"KEK_EMPTY", "The text of a key-encryption key is empty.",
     "The file or variable was made, and nothing was written to it.",
     "Copy the key-encryption key of the other nodes there; for a new cluster: sotto kek generate "
     "--to FILE"},
    {"KEK_FOLDER_EMPTY", "The folder of key-encryption keys holds no file.",
     "Nothing was copied there yet, or the secret is not mounted. Names that begin with a dot do "
     "not count.",
     "Copy the key-encryption key of the other nodes there; for a new cluster: sotto kek generate "
     "--to FOLDER/NAME"},
    {"KEK_ID_COLLISION", "Two different key-encryption keys have the same 8-byte id.",
     "It does not happen by chance.", "Make another one: sotto kek generate --to FILE"},
    {"KEK_MISMATCH",
     "A value names a key-encryption key of this node, and was not sealed under it.",
     "The value was damaged or edited, or somebody wrote the id of one key-encryption key over a "
     "value of another.",
     "Write the key again from its file: sotto keys import --from FILE; or bring back the row from "
     "a backup"},
    {"KEK_MISSING", "A key is wrapped under a key-encryption key that this node does not have.",
     "encryption.kek is not set here, or names another key than on the node that wrote the value.",
     "Copy the key-encryption key that the message names to this node (mode 0600), and set "
     "encryption.kek = \"file:PATH\""},
    {"KEK_NONE", "No key-encryption key is given.",
     "encryption.kek is not set in this configuration, and --kek was not named.",
     "encryption.kek = \"file:/etc/sotto/kek\"; or add --kek file:/etc/sotto/kek"},
    {"KEK_NOT_LOADED", "Living members have not loaded the key-encryption key that is to wrap.",
     "The new one was not put on every node yet, a node was not reloaded, or one does not answer. "
     "It could not open the cluster's keys any more, and would miss the next rotation.",
     "sotto kek check names them; put the key beside their old one and systemctl reload sottod "
     "there, or go on without: sotto kek rekey --skip NAME"},
    {"KEK_NO_CREDENTIALS", "systemd gave this process no credentials.",
     "The unit has no LoadCredential=, or the program was started by hand.",
     "In the unit: LoadCredential=NAME:/etc/sotto/kek; by hand: --set encryption.kek=file:PATH"},
    {"KEK_SOURCE_INVALID", "encryption.kek names no source of a key-encryption key.",
     "A typing error, or the key itself was written there.",
     "encryption.kek = \"file:/etc/sotto/kek\"; or folder:PATH, credential:NAME, env:NAME"},
    {"KEK_TOO_MANY", "There are more than 32 key-encryption keys.",
     "Old ones were never removed, or encryption.kek names a folder of other files.",
     "ls FOLDER; move away what no value is wrapped under any more"},
    {"KEK_TWO_SOURCES", "Two sources of the key-encryption key are named at once.",
     "One in the configuration file and another in a drop-in file, the environment or --set: "
     "whichever won in silence might be the wrong one.",
     "sotto config show --origin; leave one. For several keys at once: folder:PATH"},
    {"KEK_VARIABLE_MISSING", "The variable that holds the key-encryption key is not set.",
     "The environment of the service lacks it, or it was taken out by an earlier read.",
     "Set it for the daemon alone; a file or a systemd credential is safer"},
    {"KEK_WEAK", "A key-encryption key's bytes are not random.",
     "A password or a pattern was encoded instead of random bytes.",
     "Make one: sotto kek generate --to FILE. For tests only: encryption.allow_weak_key = true"},
    {"KEY_CACHE_CORRUPT", "The key cache in the state folder is damaged, and was not used.",
     "A failing disk, or a hand that edited it.",
     "Nothing has to be done once the database answers: it is written anew. dmesg | tail"},
    {"KEY_CACHE_MISSING", "There is no key cache in the state folder.",
     "This node never read a key while a key-encryption key was configured; with plain keys "
     "nothing is kept.",
     "Bring the database back, and start again: sotto config check"},
    {"KEY_CACHE_OTHER_NODE", "The key cache belongs to another node or cluster, and was not used.",
     "The state folder was copied, or node.name or node.cluster was changed.",
     "rm NODE.STATE_DIR/key.cache; it is written anew once the database answers"},
    {"KEY_CACHE_TOO_OLD", "The key cache is older than 7 days, and was not used.",
     "The database was not read for that long, or this machine's clock is wrong.",
     "Bring the database back, and start again; date"},
    {"KEY_CACHE_UNWRITABLE", "The key cache can't be kept in the state folder.",
     "The folder is full, read-only, or belongs to another user. The node runs all the same, but "
     "its next start needs the database.",
     "df -h NODE.STATE_DIR; ls -ld NODE.STATE_DIR"},
    {"KEY_CORRUPT", "The wrapped key is damaged, or it stands where it does not belong.",
     "The row was edited or cut, or it was copied from another cluster or generation. A table that "
     "several clusters share needs a row ClusterEncryptionKey:CLUSTER for each.",
     "Write the key again from its file: sotto keys import --from FILE; or bring back the row from "
     "a backup"},
    {"KEY_FROM_CACHE",
     "This node runs with the keys of its cache: the database was down at its "
     "start.",
     "The database is away. The node takes part as ever; it sees no rotation until the database "
     "answers.",
     "Bring the database back; the note goes by itself. To start only with a database: "
     "store.when_down = \"refuse\""},
    {"KEY_PLAIN", "The row holds the key unwrapped, although this node has a key-encryption key.",
     "encryption.accept_plain_update = true lets it pass: whoever reads the database has the key.",
     "Import the key once more, which wraps it: sotto keys import --from FILE; then take "
     "encryption.accept_plain_update out"},
    {"KEY_PLAIN_REFUSED", "The row holds a plain key, and this node has a key-encryption key.",
     "Somebody wrote the row, or the key was never wrapped since encryption.kek was set. Whoever "
     "can write the database must not choose the key.",
     "Wrap it where it stands: sotto keys import --from FILE, with the same key. To take plain "
     "values all the same: encryption.accept_plain_update = true"},
    {"KEY_ROLLBACK", "The row holds an older key than this node has used.",
     "The database was set back to an old backup, or somebody put an old value there.",
     "Where a node still runs: sotto keys verify --repair gives the database what it holds. If "
     "none does, and the backup is meant: start each node once with sottod --accept-rollback"},
};

}  // namespace

std::span<const CodeInfo> KekPages() { return kPages; }

}  // namespace sotto::internal
