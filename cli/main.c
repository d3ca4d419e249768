/* main.c - the program: finds the command, reads its options, runs it. */
#include "cli/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct command_option server_options[] = {
    {"bind", "ADDR:PORT", "server.bind_address", NULL, "listen there; port 0: any free one (default 127.0.0.1:2005)"},
    {"data-dir", "DIR", "server.data_dir", NULL, "keep all data there; made if missing (default ./velocitydb)"},
    {"config", "FILE", NULL, NULL, "read this file (default ./velocity.toml, else /etc/velocity/velocity.toml)"},
    {"verbose", NULL, "logging.level", "debug", "log more"},
    {0},
};

static const struct command_option init_options[] = {
    {"data-dir", "DIR", "server.data_dir", NULL, "the data directory (default ./velocitydb)"},
    {"config", "FILE", NULL, NULL, "the configuration file; written if it is missing (default ./velocity.toml)"},
    {0},
};

static const struct command_option check_config_options[] = {
    {"config", "FILE", NULL, NULL, "check this file instead of the one that the server would find"},
    {0},
};

static const struct command_option version_options[] = {
    {"json", NULL, NULL, NULL, "as JSON"},
    {0},
};

#define KEY_FILE_OPTION                                                                                                \
    { "key-file", "FILE", NULL, NULL, "the key of an encrypted database: 32 bytes, or 64 hexadecimal digits" }

static const struct command_option check_options[] = {
    {"json", NULL, NULL, NULL, "as one JSON object"},
    KEY_FILE_OPTION,
    {0},
};

static const struct command_option dump_options[] = {
    {"json", NULL, NULL, NULL, "as NDJSON, values whole"},
    {"full", NULL, NULL, NULL, "show values whole, not their first 64 bytes"},
    {"prefix", "TEXT", NULL, NULL, "only keys that begin so"},
    {"levels", NULL, NULL, NULL, "first the levels: tables, bytes, entries"},
    KEY_FILE_OPTION,
    {0},
};

static const struct command_option sst_dump_options[] = {
    {"json", NULL, NULL, NULL, "as NDJSON, values whole"},
    {"full", NULL, NULL, NULL, "show values whole, not their first 64 bytes"},
    {"blocks", NULL, NULL, NULL, "show where each block stands, too"},
    KEY_FILE_OPTION,
    {0},
};

static const struct command_option benchmark_options[] = {
    {"operations", "N", NULL, NULL, "of each kind (100000)"},
    {"mode", "MODE", NULL, NULL,
     "standard: fill, overwrite, read, scan; mixed: reads and writes; persistent: synced puts"},
    {"value-size", "BYTES", NULL, NULL, "of each value (100)"},
    {"threads", "N", NULL, NULL, "at work at once (1)"},
    {"data-dir", "DIR", NULL, NULL, "a new database there, and leave it (default: a temporary folder)"},
    {"json", NULL, NULL, NULL, "as one JSON object"},
    {0},
};

/* clang-format off */
/* Which server, who asks, and how the answer looks: of every command of velocity admin. */
#define ADMIN_OPTIONS \
    {"url", "URL", NULL, NULL, "that server; else the one that runs over the data directory, else the directory itself"}, \
    {"data-dir", "DIR", "server.data_dir", NULL, "the data directory (default: what the configuration says)"}, \
    {"config", "FILE", NULL, NULL, "the server's configuration, for where its data directory is"}, \
    {"login", "NAME", NULL, NULL, "log in with that user's password, which is asked for, instead of a token"}, \
    {"password-stdin", NULL, NULL, NULL, "read passwords from standard input, one a line: --login's, then the new one"}, \
    {"token-file", "FILE", NULL, NULL, "log in with the token in it (default: VELOCITY_TOKEN, else your own file)"}, \
    {"ca-file", "FILE", NULL, NULL, "trust the authorities in this PEM file instead of the system's"}, \
    {"fingerprint", "SHA256:...", NULL, NULL, "trust the server that has this key, whoever signed it"}, \
    {"allow-plaintext", NULL, NULL, NULL, "send passwords and tokens over http:// to another machine"}, \
    {"timeout", "SECONDS", NULL, NULL, "wait so long for the answer (60)"}, \
    {"json", NULL, NULL, NULL, "as JSON, as the server says it"}, \
    {0}

#define SCOPE_OPTIONS \
    {"role", "ROLE", NULL, NULL, "admin, write (users' default), read or monitor"}, \
    {"databases", "A,B", NULL, NULL, "in these databases only"}, \
    {"prefixes", "A,B", NULL, NULL, "for keys that begin so only"}
/* clang-format on */

static const struct command_option admin_options[] = {ADMIN_OPTIONS};

static const struct command_option create_user_options[] = {
    {"username", "NAME", NULL, NULL, "the new user; the very first one becomes an admin"},
    {"password", "PASSWORD", NULL, NULL, "better not: it may show in lists of processes; without it, it is asked for"},
    SCOPE_OPTIONS,
    ADMIN_OPTIONS,
};

static const struct command_option set_password_options[] = {
    {"username", "NAME", NULL, NULL, "whose; with --login alone: your own"},
    {"password", "PASSWORD", NULL, NULL, "better not: it may show in lists of processes; without it, it is asked for"},
    ADMIN_OPTIONS,
};

static const struct command_option delete_user_options[] = {
    {"username", "NAME", NULL, NULL, "who; all tokens and sessions end with it"},
    ADMIN_OPTIONS,
};

static const struct command_option create_token_options[] = {
    {"name", "TEXT", NULL, NULL, "what the token is for, in your words; needed"},
    {"username", "NAME", NULL, NULL, "whose, without a server; a server makes it for who logs in"},
    {"expires", "TIME", NULL, NULL, "a number and s, m, h or d (90d)"},
    SCOPE_OPTIONS,
    ADMIN_OPTIONS,
};
_Static_assert(sizeof create_token_options / sizeof *create_token_options <= COMMAND_MAX_OPTIONS, "the longest table");

static const struct command_option create_database_options[] = {
    {"max-disk-bytes", "N", NULL, NULL, "beyond that, puts get 507 (default: what the configuration says)"},
    ADMIN_OPTIONS,
};

static const struct command_option drop_database_options[] = {
    {"yes", NULL, NULL, NULL, "do not ask"},
    ADMIN_OPTIONS,
};

const struct command commands[] = {
    {"db server", "server", NULL, "run the server until SIGTERM or SIGINT", server_options, run_server},
    {"db init", NULL, NULL, "make a configuration file with every setting, and a data directory", init_options,
     run_db_init},
    {"db verify", NULL, "PATH", "read every byte of a database and list what is damaged", check_options, run_db_verify},
    {"db repair", NULL, "PATH", "save what is intact of a damaged database", check_options, run_db_repair},
    {"db dump", NULL, "PATH", "show every key of a database", dump_options, run_db_dump},
    {"db compact", NULL, "PATH", "merge all tables, dropping what is deleted or overwritten", check_options,
     run_db_compact},
    {"db sst-dump", NULL, "FILE", "show what a table file holds", sst_dump_options, run_sst_dump},
    {"db sst-verify", NULL, "FILE", "read every byte of a table file and list what is damaged", check_options,
     run_sst_verify},
    {"admin create-user", "create-user", NULL, "make a user", create_user_options, run_admin},
    {"admin list-users", NULL, NULL, "list the users and what they may do", admin_options, run_admin},
    {"admin set-password", NULL, NULL, "change a user's password, or the own one", set_password_options, run_admin},
    {"admin delete-user", NULL, NULL, "delete a user", delete_user_options, run_admin},
    {"admin create-token", NULL, NULL, "make a token for a program, and show it once", create_token_options, run_admin},
    {"admin list-tokens", NULL, NULL, "list the tokens, without their secrets", admin_options, run_admin},
    {"admin revoke-token", NULL, "ID", "end a token at once", admin_options, run_admin},
    {"admin create-database", NULL, "NAME", "make a database", create_database_options, run_admin},
    {"admin list-databases", NULL, NULL, "list the databases, their state and size", admin_options, run_admin},
    {"admin drop-database", NULL, "NAME", "delete a database and all that is in it", drop_database_options, run_admin},
    {"benchmark", NULL, NULL, "measure the storage engine on this machine", benchmark_options, run_benchmark},
    {"check-config", NULL, NULL, "check the configuration and show what is in force, and from where",
     check_config_options, run_check_config},
    {"version", "--version", NULL, "print the version", version_options, run_version},
    {"help", "--help", "[COMMAND]", "explain the program, a command, or every setting (help configuration)", NULL,
     run_help},
    {0},
};

int complain(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)fputs("velocity: ", stderr);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    return code;
}

/* How many of the words are the command's name; 0: it is another command. */
static int match(const char *name, int count, char **words) {
    int matched = 0;
    while (name && *name) {
        size_t size = strcspn(name, " ");
        if (matched >= count || strlen(words[matched]) != size || memcmp(words[matched], name, size) != 0) return 0;
        matched++;
        name += size + strspn(name + size, " ");
    }
    return matched;
}

const struct command *command_find(int count, char **words, int *used) {
    for (const struct command *c = commands; c->name; c++) {
        *used = match(c->name, count, words);
        if (!*used) *used = match(c->alias, count, words);
        if (*used) return c;
    }
    return NULL;
}

/* Reads "--name", "--name value" or "--name=value" at words[*at]. */
static int read_option(const struct command *command, int count, char **words, int *at,
                       struct command_arguments *arguments) {
    const char *word = words[*at] + 2;
    size_t size = strcspn(word, "=");
    for (size_t i = 0; command->options && command->options[i].name; i++) {
        const struct command_option *option = &command->options[i];
        if (strlen(option->name) != size || memcmp(option->name, word, size) != 0) continue;
        if (!option->value && word[size] == '=') return complain(EXIT_USAGE, "--%s takes no value", option->name);
        if (option->value && word[size] != '=' && *at + 1 >= count)
            return complain(EXIT_USAGE, "--%s needs a value: --%s %s", option->name, option->name, option->value);
        arguments->values[i] = !option->value ? "" : word[size] == '=' ? word + size + 1 : words[++*at];
        return EXIT_DONE;
    }
    return complain(EXIT_USAGE, "%s does not know --%.*s; see \"velocity help %s\"", command->name, (int)size, word,
                    command->name);
}

static int read_arguments(const struct command *command, int count, char **words, struct command_arguments *arguments,
                          bool *wants_help) {
    arguments->operands = words;
    for (int i = 0; i < count; i++) {
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0) {
            *wants_help = true;
        } else if (strncmp(words[i], "--", 2) == 0) {
            int code = read_option(command, count, words, &i, arguments);
            if (code) return code;
        } else if (command->operand) {
            words[arguments->operand_count++] = words[i]; /* moved to the front: options may stand anywhere */
        } else {
            return complain(EXIT_USAGE, "%s takes no \"%s\"; see \"velocity help %s\"", command->name, words[i],
                            command->name);
        }
    }
    return EXIT_DONE;
}

static int dispatch(int count, char **words) {
    struct command_arguments arguments = {0};
    bool wants_help = false;
    int used = 0;
    if (count == 0) return complain(EXIT_USAGE, "say what to do; \"velocity help\" lists the commands");
    const struct command *command = command_find(count, words, &used);
    if (!command) return complain(EXIT_USAGE, "there is no command \"%s\"; \"velocity help\" lists all", words[0]);
    int code = read_arguments(command, count - used, words + used, &arguments, &wants_help);
    if (code) return code;
    return wants_help ? help_of(command) : command->run(command, &arguments);
}

int main(int argc, char **argv) {
    int code = dispatch(argc - 1, argv + 1);
    if (fflush(stdout) != 0 && code == EXIT_DONE) return complain(EXIT_FAILED, "can't write to standard output");
    return code;
}
