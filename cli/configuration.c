/* configuration.c - from a command's options to a configuration, and the command that shows one. */
#include "cli/command.h"
#include "server/config.h"

#include <string.h>
#include <unistd.h>

const char *command_value(const struct command *command, const struct command_arguments *arguments, const char *name) {
    for (size_t i = 0; command->options[i].name; i++)
        if (strcmp(command->options[i].name, name) == 0) return arguments->values[i];
    return NULL;
}

static void warn(void *arg, const char *line) {
    (void)arg;
    (void)complain(EXIT_DONE, "%s", line);
}

/* The options that set keys, as the configuration wants them. */
static size_t collect_flags(const struct command *command, const struct command_arguments *arguments,
                            struct config_flag *flags) {
    size_t count = 0;
    for (size_t i = 0; command->options[i].name; i++) {
        const struct command_option *option = &command->options[i];
        if (!option->setting || !arguments->values[i]) continue;
        flags[count++] =
            (struct config_flag){option->setting, option->value ? arguments->values[i] : option->preset, option->name};
    }
    return count;
}

/* `flags` has room for COMMAND_MAX_OPTIONS. */
static struct config_request request_of(const struct command *command, const struct command_arguments *arguments,
                                        struct config_flag *flags) {
    return (struct config_request){
        .path = command_value(command, arguments, "config"),
        .environment = environ,
        .flags = flags,
        .flag_count = collect_flags(command, arguments, flags),
        .warn = warn,
    };
}

struct config_request *command_request(const struct command *command, const struct command_arguments *arguments) {
    struct config_flag flags[COMMAND_MAX_OPTIONS];
    struct config_request request = request_of(command, arguments, flags);
    return config_request_copy(&request);
}

int command_configuration(const struct command *command, const struct command_arguments *arguments,
                          struct config *out) {
    struct config_flag flags[COMMAND_MAX_OPTIONS];
    struct config_error error;
    struct config_request request = request_of(command, arguments, flags);
    if (config_load(&request, out, &error)) return EXIT_DONE;
    return complain(error.source == CONFIG_FLAG ? EXIT_USAGE : EXIT_CONFIGURATION, "%s", error.text);
}

int run_check_config(const struct command *command, const struct command_arguments *arguments) {
    struct config config;
    int code = command_configuration(command, arguments, &config);
    if (code) return code;
    config_print(&config, stdout);
    if (config.needs_users)
        (void)complain(EXIT_DONE, "other machines can reach %s: the server starts only if its data directory has users",
                       config.server.bind_address);
    config_free(&config);
    return EXIT_DONE;
}
