/* manual.c - velocity manual: the manual page, section 1, from the table of commands; man -l reads it. */
#include "cli/command.h"
#include "engine/velocity.h"

#include <stdio.h>
#include <string.h>

struct entry {
    const char *name, *help;
};

static const struct entry environment[] = {
    {"VELOCITY_URL", "The server that a client asks, where --url is not given."},
    {"VELOCITY_TOKEN", "The token that a client shows, where --token-file is not given."},
    {"VELOCITY_SECTION_KEY",
     "Any setting of the server, VELOCITY_SERVER_DATA_DIR for instance; what is secret may come "
     "from a file, named by the variable with _FILE behind it. \"velocity help configuration\" "
     "lists them all."},
    {"VELOCITY_ADMIN_PASSWORD", "At the first start of a server, makes the user admin with that password; or, from a "
                                "file, VELOCITY_ADMIN_PASSWORD_FILE."},
    {"XDG_CONFIG_HOME", "Where the folder of this user's settings is, where it is not ~/.config: of HOME."},
    {"https_proxy, no_proxy", "The proxy on the way to servers of other machines; without TLS none is used."},
    {"REDISCLI_AUTH", "The password of the Redis that an import reads from."},
    {"TMPDIR", "Where a benchmark keeps its database."},
    {"NOTIFY_SOCKET, WATCHDOG_USEC", "How the server tells a service manager that it is ready, and lives."},
};

static const struct entry files[] = {
    {"./velocity.toml, /etc/velocity/velocity.toml", "The server's configuration: the first that is there."},
    {"$XDG_CONFIG_HOME/velocity/token", "The token of this user."},
    {"$XDG_CONFIG_HOME/velocity/known_servers", "The keys of servers that this user trusted."},
    {"SOURCE.import-state", "How far an import is; gone when it is done."},
};

static const struct entry exits[] = {
    {"0", "Done."}, {"1", "Failed."}, {"2", "Wrong usage."}, {"3", "Not found."}, {"78", "Bad configuration."},
};

/* A line of roff: what is to be typed shows as it is typed, and no line begins with a request. */
static void print_text(const char *text) {
    if (*text == '.' || *text == '\'') fputs("\\&", stdout);
    for (; *text; text++) {
        switch (*text) {
        case '-': fputs("\\-", stdout); break;
        case '\\': fputs("\\e", stdout); break;
        case '~': fputs("\\(ti", stdout); break;
        case '^': fputs("\\(ha", stdout); break;
        case '`': fputs("\\(ga", stdout); break;
        default: putchar(*text);
        }
    }
}

static void print_option(const struct command_option *option) {
    printf(".TP\n.B \\-\\-");
    print_text(option->name);
    if (option->value) {
        printf("\\fR \\fI");
        print_text(option->value);
        printf("\\fR");
    }
    printf("\n");
    print_text(option->help);
    printf(".\n");
}

static void print_command(const struct command *command) {
    printf(".SS ");
    print_text(command->name);
    if (command->operand) {
        printf(" \\fI");
        print_text(command->operand);
        printf("\\fR");
    }
    printf("\n");
    print_text(command->summary);
    printf(".\n");
    if (command->alias) {
        printf("Also: \\fBvelocity ");
        print_text(command->alias);
        printf("\\fR.\n");
    }
    for (const struct command_option *o = command->options; o && o->name; o++) print_option(o);
}

static void print_entries(const char *section, const struct entry *entries, size_t count) {
    printf(".SH %s\n", section);
    for (size_t i = 0; i < count; i++) {
        printf(".TP\n.B ");
        print_text(entries[i].name);
        printf("\n");
        print_text(entries[i].help);
        printf("\n");
    }
}

int run_manual(const struct command *command, const struct command_arguments *arguments) {
    (void)command, (void)arguments;
    printf(".TH VELOCITY 1 \"\" \"velocity %s\" \"User Commands\"\n"
           ".SH NAME\n"
           "velocity \\- a durable key\\-value database with an HTTP interface\n"
           ".SH SYNOPSIS\n"
           ".B velocity\n"
           ".I COMMAND\n"
           ".RI [ OPTIONS ]\n"
           ".SH DESCRIPTION\n"
           "One program: the server, a client of it, and tools for what is on disk.\n"
           "Options may stand anywhere behind the command, as \\fB\\-\\-name value\\fR or "
           "\\fB\\-\\-name=value\\fR; \\fB\\-\\-help\\fR explains the command.\n"
           "Behind \\fB\\-\\-\\fR nothing is an option.\n"
           ".SH COMMANDS\n",
           VELOCITY_VERSION_STRING);
    for (const struct command *c = commands; c->name; c++) print_command(c);
    print_entries("ENVIRONMENT", environment, sizeof environment / sizeof *environment);
    print_entries("FILES", files, sizeof files / sizeof *files);
    print_entries("EXIT STATUS", exits, sizeof exits / sizeof *exits);
    return EXIT_DONE;
}
