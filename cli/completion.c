/*
 * completion.c - velocity completion: what bash, zsh and fish need to complete commands and options, from the table of
 * commands. Nothing is asked of a server meanwhile.
 */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

/* The option's value is a path. */
static bool takes_path(const struct command_option *option) {
    return option->value && (strcmp(option->value, "FILE") == 0 || strcmp(option->value, "DIR") == 0);
}

/* Between single quotes of bash and zsh: one inside ends them, stands escaped, and begins them anew. */
static void print_quoted(const char *text, const char *escaped) {
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr(escaped, *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
    putchar('\'');
}

/* The first word of a name of two; 0: it has one. */
static size_t group_size(const char *name) {
    const char *space = strchr(name, ' ');
    return space ? (size_t)(space - name) : 0;
}

static bool is_word(const char *name) {
    return name && !strchr(name, ' ') && name[0] != '-';
}

/* Is it the first command of its group in the table? */
static bool begins_group(const struct command *command) {
    size_t size = group_size(command->name);
    for (const struct command *c = commands; c != command; c++)
        if (group_size(c->name) == size && memcmp(c->name, command->name, size) == 0) return false;
    return size != 0;
}

/* What may stand first, by `print` each: commands of one word, aliases, groups. */
static void for_first_words(void (*print)(const char *word, size_t size, const char *summary)) {
    for (const struct command *c = commands; c->name; c++) {
        if (begins_group(c)) print(c->name, group_size(c->name), "a group of commands");
        if (!group_size(c->name)) print(c->name, strlen(c->name), c->summary);
        if (is_word(c->alias)) print(c->alias, strlen(c->alias), c->summary);
    }
}

static void for_group(const struct command *first, void (*print)(const char *word, size_t size, const char *summary)) {
    size_t size = group_size(first->name);
    for (const struct command *c = first; c->name; c++) {
        if (group_size(c->name) != size || memcmp(c->name, first->name, size) != 0) continue;
        const char *word = c->name + size + 1;
        print(word, strlen(word), c->summary);
    }
}

/* The shells' pattern for a command: its name, and its alias. */
static void print_case(const struct command *command) {
    printf("        '%s'", command->name);
    if (is_word(command->alias)) printf(" | '%s'", command->alias);
    printf(")");
}

/* Collects the words of the command line that name a command, up to the longest name that there is. */
static void print_walk(const char *words, const char *position) {
    printf("    for ((i = %s; i++)); do\n"
           "        [[ ${%s[i]} == -* ]] && break\n"
           "        command+=\"${command:+ }${%s[i]}\"\n"
           "        case $command in\n",
           position, words, words);
    for (const struct command *c = commands; c->name; c++) {
        print_case(c);
        printf(" break ;;\n");
    }
    printf("        esac\n    done\n");
}

/* ---- bash ------------------------------------------------------------------------------------------------------- */

static void print_word(const char *word, size_t size, const char *summary) {
    (void)summary;
    printf(" %.*s", (int)size, word);
}

static void print_path_options(void) {
    const char *separator = "        ";
    for (const struct command *c = commands; c->name; c++)
        for (const struct command_option *o = c->options; o && o->name; o++) {
            bool known = false; /* in an earlier command */
            for (const struct command *e = commands; e != c && !known; e++)
                for (const struct command_option *p = e->options; p && p->name && !known; p++)
                    known = takes_path(p) && strcmp(p->name, o->name) == 0;
            if (!takes_path(o) || known) continue;
            printf("%s--%s", separator, o->name);
            separator = " | ";
        }
}

static void print_bash(void) {
    printf("# bash completion of velocity: velocity completion bash > /etc/bash_completion.d/velocity\n"
           "_velocity() {\n"
           "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command= words= i\n"
           "    COMPREPLY=()\n"
           "    case $previous in\n");
    print_path_options();
    printf(") return ;; # files: the shell's own\n    esac\n");
    print_walk("COMP_WORDS", "1; i < COMP_CWORD");
    printf("    case $command in\n        '') words='");
    for_first_words(print_word);
    printf("' ;;\n");
    for (const struct command *c = commands; c->name; c++) {
        if (begins_group(c)) {
            printf("        '%.*s') words='", (int)group_size(c->name), c->name);
            for_group(c, print_word);
            printf("' ;;\n");
        }
        print_case(c);
        printf(" words='");
        for (const struct command_option *o = c->options; o && o->name; o++) printf(" --%s", o->name);
        printf(" --help' ;;\n");
    }
    printf("    esac\n"
           "    [[ -z $command || $current == -* || $words != *--* ]] &&\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
           "}\n"
           "complete -o default -F _velocity velocity\n");
}

/* ---- zsh -------------------------------------------------------------------------------------------------------- */

static void print_described(const char *word, size_t size, const char *summary) {
    char entry[256];
    (void)snprintf(entry, sizeof entry, "%.*s", (int)size, word);
    printf(" ");
    print_quoted(entry, ":");
    printf("':'");
    print_quoted(summary, "");
}

static void print_zsh(void) {
    printf("#compdef velocity\n"
           "# zsh completion of velocity: velocity completion zsh > \"${fpath[1]}/_velocity\"\n"
           "_velocity() {\n"
           "    local command= i\n"
           "    local -a entries\n"
           "    case ${words[CURRENT-1]} in\n");
    print_path_options();
    printf(") _files; return ;;\n    esac\n");
    print_walk("words", "2; i < CURRENT");
    printf("    case $command in\n        '') entries=(");
    for_first_words(print_described);
    printf(") ;;\n");
    for (const struct command *c = commands; c->name; c++) {
        if (begins_group(c)) {
            printf("        '%.*s') entries=(", (int)group_size(c->name), c->name);
            for_group(c, print_described);
            printf(") ;;\n");
        }
        print_case(c);
        printf(" entries=(");
        for (const struct command_option *o = c->options; o && o->name; o++) {
            char name[64];
            (void)snprintf(name, sizeof name, "--%s", o->name);
            print_described(name, strlen(name), o->help);
        }
        printf(" '--help:explain it') ;;\n");
    }
    printf("    esac\n"
           "    _describe velocity entries || _files\n"
           "}\n"
           "if [[ $funcstack[1] == _velocity ]]; then _velocity \"$@\"; else compdef _velocity velocity; fi\n");
}

/* ---- fish ------------------------------------------------------------------------------------------------------- */

static void print_fish_quoted(const char *text) {
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\') putchar('\\');
        putchar(*text);
    }
    putchar('\'');
}

static void print_fish_first(const char *word, size_t size, const char *summary) {
    printf("complete -c velocity -f -n __velocity_begins -a '%.*s' -d ", (int)size, word);
    print_fish_quoted(summary);
    printf("\n");
}

static void print_fish_options(const struct command *command, const char *name) {
    for (const struct command_option *o = command->options; o && o->name; o++) {
        printf("complete -c velocity -n '__velocity_in %s' -l %s%s -d ", name, o->name,
               !o->value       ? ""
               : takes_path(o) ? " -r -F"
                               : " -x");
        print_fish_quoted(o->help);
        printf("\n");
    }
}

static void print_fish(void) {
    printf("# fish completion of velocity: velocity completion fish > ~/.config/fish/completions/velocity.fish\n"
           "function __velocity_begins\n"
           "    test (count (commandline -opc)) -eq 1\n"
           "end\n"
           "function __velocity_in\n"
           "    set -l words (commandline -opc)[2..-1]\n"
           "    test (count $words) -ge (count $argv); and test \"$words[1..(count $argv)]\" = \"$argv\"\n"
           "end\n"
           "function __velocity_group\n"
           "    set -l words (commandline -opc)[2..-1]\n"
           "    test \"$words\" = \"$argv\"\n"
           "end\n");
    for_first_words(print_fish_first);
    for (const struct command *c = commands; c->name; c++) {
        size_t size = group_size(c->name);
        if (size) {
            printf("complete -c velocity -f -n '__velocity_group %.*s' -a '%s' -d ", (int)size, c->name,
                   c->name + size + 1);
            print_fish_quoted(c->summary);
            printf("\n");
        }
        print_fish_options(c, c->name);
        if (is_word(c->alias)) print_fish_options(c, c->alias);
    }
}

int run_completion(const struct command *command, const struct command_arguments *arguments) {
    const char *shell = arguments->operand_count == 1 ? arguments->operands[0] : "";
    (void)command;
    if (strcmp(shell, "bash") == 0)
        print_bash();
    else if (strcmp(shell, "zsh") == 0)
        print_zsh();
    else if (strcmp(shell, "fish") == 0)
        print_fish();
    else
        return complain(EXIT_USAGE, "completion takes the name of a shell: bash, zsh or fish");
    return EXIT_DONE;
}
