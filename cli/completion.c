/*
 * completion.c - velocity completion: what bash, zsh and fish need to complete commands, options and their values, from
 * the table of commands. Nothing is asked of a server meanwhile.
 *
 * What stands behind an option in the table says what completes it: "ndjson|csv|TYPE" has choices, the words in small
 * letters; FILE, DIR, PATH and SOURCE are names of files; all else is text that nobody can know.
 */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

typedef void print_function(const char *word, size_t size, const char *summary);

/* ---- the table --------------------------------------------------------------------------------------------------- */

/* "FILE" or "[FILE]", and its like. */
static bool takes_path(const char *value) {
    static const char *const paths[] = {"FILE", "DIR", "PATH", "SOURCE"};
    value += *value == '[';
    size_t size = strcspn(value, "]");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (strlen(paths[i]) == size && memcmp(paths[i], value, size) == 0) return true;
    return false;
}

static bool has_choices(const char *value) {
    return *value >= 'a' && *value <= 'z';
}

static void for_choices(const char *value, print_function *print) {
    while (*value) {
        size_t size = strcspn(value, "|");
        if (has_choices(value)) print(value, size, NULL);
        value += size + (value[size] == '|');
    }
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
static void for_first_words(print_function *print) {
    for (const struct command *c = commands; c->name; c++) {
        if (begins_group(c)) print(c->name, group_size(c->name), "a group of commands");
        if (!group_size(c->name)) print(c->name, strlen(c->name), c->summary);
        if (is_word(c->alias)) print(c->alias, strlen(c->alias), c->summary);
    }
}

static void for_group(const struct command *first, print_function *print) {
    size_t size = group_size(first->name);
    for (const struct command *c = first; c->name; c++) {
        if (group_size(c->name) != size || memcmp(c->name, first->name, size) != 0) continue;
        const char *word = c->name + size + 1;
        print(word, strlen(word), c->summary);
    }
}

static void for_options(const struct command *command, print_function *print) {
    char word[64];
    for (const struct command_option *o = command->options; o && o->name; o++)
        print(word, (size_t)snprintf(word, sizeof word, "--%s", o->name), o->help);
    print("--help", strlen("--help"), "explain it");
}

/* ---- bash and zsh ------------------------------------------------------------------------------------------------ */

/* In what the two differ. */
struct shell {
    const char *words;        /* the array of the words of the command line */
    const char *first;        /* where the word behind "velocity" stands in it */
    const char *current;      /* where the one stands that is completed */
    const char *typed;        /* what there is of it */
    const char *open, *close; /* around words that complete it, each printed by `word` */
    const char *files, *none; /* what is done for names of files, and for text that nobody can know */
    print_function *word;
};

/* The shells' pattern for a command: its name, and its alias. */
static void print_case(const struct command *command) {
    printf("        '%s'", command->name);
    if (is_word(command->alias)) printf(" | '%s'", command->alias);
    printf(")");
}

/* Collects the words of the command line that name a command, up to the longest name that there is. */
static void print_walk(const struct shell *shell) {
    printf("    for ((i = %s; i < %s; i++)); do\n"
           "        [[ ${%s[i]} == -* ]] && break\n"
           "        command+=\"${command:+ }${%s[i]}\"\n"
           "        case $command in\n",
           shell->first, shell->current, shell->words, shell->words);
    for (const struct command *c = commands; c->name; c++) {
        print_case(c);
        printf(" break ;;\n");
    }
    printf("        esac\n    done\n");
}

/* What completes a value, or an operand that stands in the table like one. */
static void print_kind(const struct shell *shell, const char *value) {
    bool topic = strcmp(value, "[COMMAND]") == 0;
    if (!topic && !has_choices(value)) {
        fputs(takes_path(value) ? shell->files : shell->none, stdout);
        return;
    }
    fputs(shell->open, stdout);
    if (topic)
        for_first_words(shell->word);
    else
        for_choices(value, shell->word);
    if (topic) shell->word("configuration", strlen("configuration"), "every setting of the server");
    fputs(shell->close, stdout);
}

static void print_options(const struct shell *shell, const struct command *command) {
    fputs(shell->open, stdout);
    for_options(command, shell->word);
    fputs(shell->close, stdout);
}

static void print_command(const struct shell *shell, const struct command *command) {
    print_case(command);
    printf("\n            case $previous in\n");
    for (const struct command_option *o = command->options; o && o->name; o++) {
        if (!o->value) continue;
        printf("            --%s) ", o->name);
        print_kind(shell, o->value);
        printf(" ;;\n");
    }
    printf("            *) ");
    if (command->operand) {
        printf("if [[ $%s != -* ]]; then ", shell->typed);
        print_kind(shell, command->operand);
        printf("; else ");
    }
    print_options(shell, command);
    printf("%s ;;\n            esac ;;\n", command->operand ? "; fi" : "");
}

static void print_group(const struct shell *shell, const struct command *first) {
    printf("        '%.*s') ", (int)group_size(first->name), first->name);
    fputs(shell->open, stdout);
    for_group(first, shell->word);
    fputs(shell->close, stdout);
    printf(" ;;\n");
}

static void print_commands(const struct shell *shell) {
    print_walk(shell);
    printf("    case $command in\n        '') ");
    fputs(shell->open, stdout);
    for_first_words(shell->word);
    fputs(shell->close, stdout);
    printf(" ;;\n");
    for (const struct command *c = commands; c->name; c++) {
        if (begins_group(c)) print_group(shell, c);
        print_command(shell, c);
    }
    printf("    esac\n");
}

static void print_word(const char *word, size_t size, const char *summary) {
    (void)summary;
    printf(" %.*s", (int)size, word);
}

static const struct shell bash = {
    .words = "COMP_WORDS",
    .first = "1",
    .current = "COMP_CWORD",
    .typed = "current",
    .open = "words='",
    .close = "'",
    .files = "return", /* the shell's own */
    .none = "none=1",
    .word = print_word,
};

/* "--format=csv" is three words there. */
static void print_bash(void) {
    printf(
        "# bash completion of velocity: velocity completion bash > /etc/bash_completion.d/velocity\n"
        "_velocity() {\n"
        "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command= words= none= i\n"
        "    COMPREPLY=()\n"
        "    if [[ $current == = ]]; then\n"
        "        current=\n"
        "    elif [[ $previous == = ]]; then\n"
        "        previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
        "    fi\n");
    print_commands(&bash);
    printf("    [[ -n $none ]] && compopt +o default 2>/dev/null # no names of files\n"
           "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
           "}\n"
           "complete -o default -F _velocity velocity\n");
}

/* Between single quotes: one inside ends them, stands escaped, and begins them anew. */
static void print_quoted(const char *text, size_t size, const char *escaped) {
    putchar('\'');
    for (const char *end = text + size; text < end; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr(escaped, *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
    putchar('\'');
}

/* 'WORD'':''SUMMARY', as _describe takes it: a colon in the word would end it. */
static void print_described(const char *word, size_t size, const char *summary) {
    printf(" ");
    print_quoted(word, size, ":\\");
    if (!summary) return;
    printf("':'");
    print_quoted(summary, strlen(summary), "\\");
}

static const struct shell zsh = {
    .words = "words",
    .first = "2",
    .current = "CURRENT",
    .typed = "PREFIX",
    .open = "entries=(",
    .close = ")",
    .files = "_files && return",
    .none = "return 1",
    .word = print_described,
};

static void print_zsh(void) {
    printf("#compdef velocity\n"
           "# zsh completion of velocity: velocity completion zsh > \"${fpath[1]}/_velocity\"\n"
           "_velocity() {\n"
           "    local command= previous=${words[CURRENT-1]} i\n"
           "    local -a entries\n"
           "    if [[ $PREFIX == --*=* ]]; then\n"
           "        previous=${PREFIX%%%%=*}\n"
           "        compset -P 1 '*='\n"
           "    fi\n");
    print_commands(&zsh);
    printf("    (( $#entries )) && _describe velocity entries\n"
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

static void print_fish_choices(const char *value) {
    if (!has_choices(value)) return;
    printf(" -a '");
    for_choices(value, print_word);
    printf("'");
}

/* What completes a value: an exclusive one is no name of a file. */
static void print_fish_value(const char *value) {
    fputs(takes_path(value) ? " -r -F" : " -x", stdout);
    print_fish_choices(value);
}

static void print_fish_operand(const struct command *command, const char *name) {
    const char *operand = command->operand ? command->operand : "";
    if (takes_path(operand)) return;
    printf("complete -c velocity -f -n '__velocity_in %s'", name);
    print_fish_choices(operand);
    if (strcmp(operand, "[COMMAND]") == 0) {
        printf(" -a '");
        for_first_words(print_word);
        printf(" configuration'");
    }
    printf("\n");
}

static void print_fish_command(const struct command *command, const char *name) {
    print_fish_operand(command, name);
    for (const struct command_option *o = command->options; o && o->name; o++) {
        printf("complete -c velocity -n '__velocity_in %s' -l %s", name, o->name);
        if (o->value) print_fish_value(o->value);
        printf(" -d ");
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
           "    set -l words (commandline -opc)\n"
           "    set -e words[1]\n"
           "    test (count $words) -ge (count $argv); or return 1\n"
           "    set -l first $words[1..(count $argv)]\n"
           "    test \"$first\" = \"$argv\"\n"
           "end\n"
           "function __velocity_group\n"
           "    set -l words (commandline -opc)\n"
           "    set -e words[1]\n"
           "    test \"$words\" = \"$argv\"\n"
           "end\n"
           "complete -c velocity -l help -d 'explain it'\n");
    for_first_words(print_fish_first);
    for (const struct command *c = commands; c->name; c++) {
        size_t size = group_size(c->name);
        if (size) {
            printf("complete -c velocity -f -n '__velocity_group %.*s' -a '%s' -d ", (int)size, c->name,
                   c->name + size + 1);
            print_fish_quoted(c->summary);
            printf("\n");
        }
        print_fish_command(c, c->name);
        if (is_word(c->alias)) print_fish_command(c, c->alias);
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
