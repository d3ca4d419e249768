/* manual.c - velocity manual: the manual page, section 1, from the table of commands; man -l reads it. */
#include "cli/command.h"
#include "engine/velocity.h"

#include <stdio.h>
#include <string.h>

/* A line of roff: a hyphen is a minus, a backslash shows, and no line begins with a request. */
static void print_text(const char *text) {
    if (*text == '.' || *text == '\'') fputs("\\&", stdout);
    for (; *text; text++) {
        if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\\')
            fputs("\\e", stdout);
        else
            putchar(*text);
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
        printf("Also:\n.BR velocity \\ ");
        print_text(command->alias);
        printf(" .\n");
    }
    for (const struct command_option *o = command->options; o && o->name; o++) print_option(o);
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
           "Options may stand anywhere behind the command, as \\fB\\-\\-name value\\fR or \\fB\\-\\-name=value\\fR.\n"
           ".SH COMMANDS\n",
           VELOCITY_VERSION_STRING);
    for (const struct command *c = commands; c->name; c++) print_command(c);
    printf(".SH ENVIRONMENT\n"
           ".TP\n.B VELOCITY_URL\nThe server that a client asks, where \\fB\\-\\-url\\fR is not given.\n"
           ".TP\n.B VELOCITY_TOKEN\nThe token that a client shows, where \\fB\\-\\-token\\-file\\fR is not given.\n"
           ".TP\n.B VELOCITY_\\fISECTION\\fR_\\fIKEY\\fR\n"
           "Any setting of the server: \\fBvelocity help configuration\\fR lists them.\n"
           ".SH FILES\n"
           ".TP\n.I ./velocity.toml\\fR, \\fI/etc/velocity/velocity.toml\nThe server's configuration.\n"
           ".TP\n.I $XDG_CONFIG_HOME/velocity/token\nThe token of this user.\n"
           ".TP\n.I $XDG_CONFIG_HOME/velocity/known_servers\nThe keys of servers that this user trusted.\n"
           ".SH EXIT STATUS\n"
           "0 done, 1 failed, 2 wrong usage, 3 not found, 78 bad configuration.\n");
    return EXIT_DONE;
}
