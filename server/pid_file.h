/*
 * pid_file.h - a file that holds this process's id, for scripts and service managers that want one. It is no lock: the
 * data directory has that. What a process left behind that was killed is replaced.
 */
#ifndef VELOCITY_SERVER_PID_FILE_H
#define VELOCITY_SERVER_PID_FILE_H

#include <stdbool.h>

/* Whole or not at all (0644). False with errno set. */
bool pid_file_write(const char *path);
/* Where it is still this process's; what another one wrote there stays. */
void pid_file_remove(const char *path);

#endif
