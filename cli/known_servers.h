/*
 * known_servers.h - trust on first use, as SSH has it: which key a server showed when its user said yes, kept in the
 * file "known_servers" of the user's folder of settings. A line is "HOST:PORT SHA256:..."; one that begins with "#" is
 * a comment. The last line of a server counts.
 */
#ifndef VELOCITY_CLI_KNOWN_SERVERS_H
#define VELOCITY_CLI_KNOWN_SERVERS_H

#include "server/tls.h"

/* Its fingerprint, or "". Answers the exit code, and complains where the file can't be trusted. */
int known_servers_find(const char *server, char fingerprint[TLS_FINGERPRINT_BYTES]);

/* Asks the user whether the server at `url` ("https://db:2005") is trusted, whose certificate can't be verified (`why`)
 * and whose key has that fingerprint; a yes is kept. Off a terminal it complains, and says how to go on. */
int known_servers_ask(const char *url, const char *server, const char *why, const char *fingerprint);

#endif
