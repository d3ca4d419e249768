/* help.c - every page of help, from the table of commands. */
#include "cli/command.h"
#include "server/config.h"

#include <stdio.h>
#include <string.h>

#define LINE_COLUMNS 100

/* Options that do not fit a line go on in the next, under the first. */
static void print_synopsis(const struct command *command) {
    int indent = printf("velocity %s", command->name), column = indent;
    for (size_t i = 0; command->options && command->options[i].name; i++) {
        const struct command_option *option = &command->options[i];
        char text[64];
        int size = snprintf(text, sizeof text, " [--%s%s%s]", option->name, option->value ? " " : "",
                            option->value ? option->value : "");
        if (column + size > LINE_COLUMNS) column = printf("\n%*s", indent, "") - 1;
        column += size;
        fputs(text, stdout);
    }
    if (command->operand) printf(" %s", command->operand);
    printf("\n");
}

int help_of(const struct command *command) {
    print_synopsis(command);
    printf("\n%s.\n", command->summary);
    if (command->alias) printf("Also: velocity %s\n", command->alias);
    if (command->options) printf("\n");
    for (size_t i = 0; command->options && command->options[i].name; i++) {
        const struct command_option *option = &command->options[i];
        char left[64];
        (void)snprintf(left, sizeof left, "--%s%s%s", option->name, option->value ? " " : "",
                       option->value ? option->value : "");
        printf("  %-25s %s\n", left, option->help);
    }
    return EXIT_DONE;
}

/* "admin": the commands whose names begin with that word. False: there is none. */
static bool help_of_group(const char *word) {
    size_t size = strlen(word);
    bool any = false;
    for (const struct command *c = commands; c->name; c++) {
        if (strncmp(c->name, word, size) != 0 || c->name[size] != ' ') continue;
        printf("  %-22s %s\n", c->name, c->summary);
        any = true;
    }
    if (any) printf("\n\"velocity help %s COMMAND\" explains one.\n", word);
    return any;
}

static int help_of_all(void) {
    printf("velocity COMMAND [OPTIONS]\n\nA durable key-value database with an HTTP interface.\n\n");
    for (const struct command *c = commands; c->name; c++) printf("  %-22s %s\n", c->name, c->summary);
    printf("\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 78 bad configuration.\n"
           "\"velocity help COMMAND\" explains one.\n");
    return EXIT_DONE;
}

int run_help(const struct command *command, const struct command_arguments *arguments) {
    (void)command;
    int used = 0, count = arguments->operand_count;
    if (count == 0) return help_of_all();
    if (count == 1 && strcmp(arguments->operands[0], "configuration") == 0) {
        config_document(stdout);
        return EXIT_DONE;
    }
    const struct command *topic = command_find(count, arguments->operands, &used);
    if (topic && used == count) return help_of(topic);
    if (count == 1 && help_of_group(arguments->operands[0])) return EXIT_DONE;
    return complain(EXIT_USAGE, "there is no command \"%s\"; \"velocity help\" lists all", arguments->operands[0]);
}
