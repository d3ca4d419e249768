/* main.c - the program: finds the command, reads its options, runs it. */
#include "cli/command.h"
#include "cli/document.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    {"mode", "standard|mixed|persistent", NULL, NULL,
     "standard: fill, overwrite, read, scan; mixed: reads and writes; persistent: synced puts"},
    {"value-size", "BYTES", NULL, NULL, "of each value (100)"},
    {"threads", "N", NULL, NULL, "at work at once (1)"},
    {"data-dir", "DIR", NULL, NULL, "a new database there, and leave it (default: a temporary folder)"},
    {"json", NULL, NULL, NULL, "as one JSON object"},
    {0},
};

/* clang-format off */
/* Which server, who asks, and how the answer looks: of every command that is a client. */
#define CONNECTION_OPTIONS \
    {"data-dir", "DIR", "server.data_dir", NULL, "the data directory (default: what the configuration says)"}, \
    {"config", "FILE", NULL, NULL, "the server's configuration, for where its data directory is"}, \
    {"login", "NAME", NULL, NULL, "log in with that user's password, which is asked for, instead of a token"}, \
    {"password-stdin", NULL, NULL, NULL, "read passwords from standard input, one a line: --login's, then the new one"}, \
    {"token-file", "FILE", NULL, NULL, "log in with the token in it (default: VELOCITY_TOKEN, else your own file)"}, \
    {"ca-file", "FILE", NULL, NULL, "trust the authorities in this PEM file instead of the system's"}, \
    {"fingerprint", "SHA256:...", NULL, NULL, "trust the server that has this key, whoever signed it"}, \
    {"allow-plaintext", NULL, NULL, NULL, "send passwords and tokens over http:// to another machine"}, \
    {"timeout", "SECONDS", NULL, NULL, "wait so long for the answer (60)"}

#define ADMIN_OPTIONS \
    {"url", "URL", NULL, NULL, "that server (default: VELOCITY_URL, else the one over the data directory, else that itself)"}, \
    CONNECTION_OPTIONS, \
    {"json", NULL, NULL, NULL, "as JSON, as the server says it"}, \
    {0}

#define CLIENT_OPTIONS \
    {"database", "NAME", NULL, NULL, "in that database (default: default)"}, \
    {"url", "URL", NULL, NULL, "that server (default: VELOCITY_URL, else the one that runs over the data directory)"}, \
    CONNECTION_OPTIONS, \
    {0}

#define KEY64_OPTION {"key64", "TEXT", NULL, NULL, "the key in base64url, instead of as it is"}
#define CONDITION_OPTION(what) {"if-version", "N", NULL, NULL, what " only that version of it"}

#define SCOPE_OPTIONS \
    {"role", "admin|write|read|monitor", NULL, NULL, "what it may do (a user's default: write)"}, \
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

static const struct command_option create_database_options[] = {
    {"max-disk-bytes", "N", NULL, NULL, "beyond that, puts get 507 (default: what the configuration says)"},
    ADMIN_OPTIONS,
};

static const struct command_option drop_database_options[] = {
    {"yes", NULL, NULL, NULL, "do not ask"},
    ADMIN_OPTIONS,
};

static const struct command_option get_options[] = {
    {"output", "FILE", NULL, NULL, "write the value there, instead of to standard output"},
    {"json", NULL, NULL, NULL, "as an item: key, version, type, size, value"},
    KEY64_OPTION,
    CLIENT_OPTIONS,
};

static const struct command_option put_options[] = {
    {"file", "FILE", NULL, NULL, "the value is what is in the file"},
    {"type", "json|text|bytes|TYPE", NULL, NULL, "or a media type (default: text of words, bytes of all else)"},
    {"ttl", "SECONDS", NULL, NULL, "it expires after so long"},
    {"expires-at", "TIME", NULL, NULL, "it expires then: 2027-01-31T12:00:00Z"},
    {"create", NULL, NULL, NULL, "only where nothing is stored at the key"},
    {"if-exists", NULL, NULL, NULL, "only where something is"},
    CONDITION_OPTION("replace"),
    {"json", NULL, NULL, NULL, "print the version, as JSON"},
    KEY64_OPTION,
    CLIENT_OPTIONS,
};

static const struct command_option delete_options[] = {
    CONDITION_OPTION("delete"),
    {"prefix", "TEXT", NULL, NULL, "all keys that begin so, in one step"},
    {"start", "KEY", NULL, NULL, "all keys from this one on"},
    {"end", "KEY", NULL, NULL, "all keys before this one"},
    {"all", NULL, NULL, NULL, "all keys"},
    {"dry-run", NULL, NULL, NULL, "only count the keys of the range"},
    {"yes", NULL, NULL, NULL, "do not ask"},
    {"json", NULL, NULL, NULL, "print the version, or the count, as JSON"},
    KEY64_OPTION,
    CLIENT_OPTIONS,
};
_Static_assert(sizeof delete_options / sizeof *delete_options <= COMMAND_MAX_OPTIONS, "the longest table");

static const struct command_option scan_options[] = {
    {"start", "KEY", NULL, NULL, "from this key on"},
    {"end", "KEY", NULL, NULL, "up to this key, without it"},
    {"limit", "N", NULL, NULL, "so many at most (default: all)"},
    {"reverse", NULL, NULL, NULL, "from the last to the first"},
    {"values", NULL, NULL, NULL, "show values, instead of versions, sizes and types"},
    {"delimiter", "TEXT", NULL, NULL, "fold keys that go on behind it, as folders"},
    {"count", NULL, NULL, NULL, "only count them"},
    {"json", NULL, NULL, NULL, "as NDJSON, an item a line"},
    CLIENT_OPTIONS,
};

static const struct command_option watch_options[] = {
    {"since", "VERSION", NULL, NULL, "from what came after that version (default: from now on)"},
    {"events", "N", NULL, NULL, "end after so many"},
    {"json", NULL, NULL, NULL, "as NDJSON, an event a line"},
    CLIENT_OPTIONS,
};

static const struct command_option batch_options[] = {
    {"json", NULL, NULL, NULL, "as it always does: the answer is JSON"},
    CLIENT_OPTIONS,
};

static const struct command_option import_options[] = {
    {"format", "ndjson|csv|sqlite|redis", NULL, NULL,
     "what it reads (default: by its name, else ndjson); redis: a URL, or a dump"},
    {"prefix", "TEXT", NULL, NULL, "put that before each key; not of ndjson"},
    {"table", "NAME", NULL, NULL, "sqlite: the table to read"},
    {"key-column", "NAME", NULL, NULL, "csv, sqlite: the column that is the key (default: the first)"},
    {"value-column", "NAME", NULL, NULL, "csv, sqlite: the column that is the value (default: all others, as JSON)"},
    {"match", "PATTERN", NULL, NULL, "redis, of a server: only keys that match"},
    {"redis-database", "NUMBER", NULL, NULL,
     "redis, of a dump: that database of it (default: the first that has rows)"},
    {"resume", NULL, NULL, NULL, "go on where it was ended"},
    {"state", "FILE", NULL, NULL, "keep there how far it is (default: SOURCE.import-state, where that is a file)"},
    {"report", "FILE", NULL, NULL, "add to it what is skipped, and why, as NDJSON"},
    {"json", NULL, NULL, NULL, "print the counts as JSON"},
    CLIENT_OPTIONS,
};
_Static_assert(sizeof import_options / sizeof *import_options <= COMMAND_MAX_OPTIONS, "the longest table");

static const struct command_option export_options[] = {
    {"format", "ndjson|csv|sqlite", NULL, NULL, "what it writes (default: by the file's name, else ndjson)"},
    {"output", "FILE", NULL, NULL, "write it there, instead of to standard output"},
    CLIENT_OPTIONS,
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
    {"get", NULL, "KEY", "print the value of a key", get_options, run_get},
    {"put", NULL, "KEY [VALUE]", "store a value: the word, a file, or what comes on standard input", put_options,
     run_put},
    {"delete", NULL, "[KEY]", "delete a key, or all keys of a range", delete_options, run_delete},
    {"scan", NULL, "[PREFIX]", "list keys in their order", scan_options, run_scan},
    {"watch", NULL, "[PREFIX]", "show what changes, as it happens", watch_options, run_watch},
    {"batch", NULL, "[FILE]", "do several operations as one: JSON as POST /api/batch takes it", batch_options,
     run_batch},
    {"import", NULL, "[SOURCE]", "store the rows of a file, or of a Redis server", import_options, run_import},
    {"export", NULL, "[PREFIX]", "write all keys, as of one instant, to a file", export_options, run_export},
    {"benchmark", NULL, NULL, "measure the storage engine on this machine", benchmark_options, run_benchmark},
    {"check-config", NULL, NULL, "check the configuration and show what is in force, and from where",
     check_config_options, run_check_config},
    {"completion", NULL, "bash|zsh|fish", "print what that shell needs to complete commands, options and values", NULL,
     run_completion},
    {"manual", NULL, NULL, "print the manual page: velocity manual | man -l -", NULL, run_manual},
    {"version", "--version", NULL, "print the version", version_options, run_version},
    {"help", "--help", "[COMMAND]", "explain the program, a command, or every setting (help configuration)", NULL,
     run_help},
    {0},
};

/* One line, whatever stands in names, keys and what others say. */
int complain(int code, const char *format, ...) {
    va_list arguments;
    char *text = NULL;
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (size >= 0) document_clean(text, (size_t)size);
    (void)fprintf(stderr, "velocity: %s\n", size >= 0 ? text : "no memory");
    if (size >= 0) free(text);
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
    bool only_operands = false; /* behind "--" */
    arguments->operands = words;
    for (int i = 0; i < count; i++) {
        if (only_operands && command->operand) {
            words[arguments->operand_count++] = words[i];
        } else if (strcmp(words[i], "--") == 0) {
            only_operands = true;
        } else if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0) {
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
    static char help[] = "--help";
    if (strcmp(words[0], "-h") == 0) words[0] = help; /* as behind a command */
    const struct command *command = command_find(count, words, &used);
    if (!command) return complain(EXIT_USAGE, "there is no command \"%s\"; \"velocity help\" lists all", words[0]);
    int code = read_arguments(command, count - used, words + used, &arguments, &wants_help);
    if (code) return code;
    return wants_help ? help_of(command) : command->run(command, &arguments);
}

/* Whoever was started without standard input, output or error gets some that fail: the next file that is opened, a
 * database's perhaps, must not be taken for one of them. */
static bool fill_standard_files(void) {
    static const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd) return false;
    return true;
}

int main(int argc, char **argv) {
    if (!fill_standard_files()) return EXIT_FAILED;
    int code = dispatch(argc - 1, argv + 1);
    bool lost = fflush(stdout) != 0;
    /* What a write in between has lost, nobody may have looked at. */
    if ((lost || ferror(stdout)) && code == EXIT_DONE) return complain(EXIT_FAILED, "can't write to standard output");
    return code;
}
