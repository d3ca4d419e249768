/* version.c - velocity version. */
#include "cli/command.h"
#include "engine/velocity.h"

#include <stdio.h>

int run_version(const struct command *command, const struct command_arguments *arguments) {
    bool json = command_value(command, arguments, "json") != NULL;
    printf(json ? "{\"name\":\"velocity\",\"version\":\"%s\"}\n" : "velocity %s\n", velocity_version());
    return EXIT_DONE;
}
