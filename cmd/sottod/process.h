// What a process that holds keys does to itself before anything else.
#ifndef SOTTO_CMD_SOTTOD_PROCESS_H_
#define SOTTO_CMD_SOTTOD_PROCESS_H_

namespace sotto {

// umask 077, no core dumps, not traceable by other processes of the user, SIGPIPE ignored, OpenSSL
// without its global configuration file (an engine or a provider named there would see our keys),
// and a locked heap for secrets. False if memory could not be locked. Call first in main, from the
// only thread.
bool HardenProcess();

// To the service manager, where one listens; nothing otherwise. Any thread.
void NotifyReady();
void NotifyReloading();
void NotifyStopping();
void NotifyStatus(const char* text);

}  // namespace sotto

#endif  // SOTTO_CMD_SOTTOD_PROCESS_H_
