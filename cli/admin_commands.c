/*
 * admin_commands.c - the commands of velocity admin: from options to an order, and from its answer to what is printed.
 * One table says what each of them needs and shows.
 */
#include "cli/admin.h"
#include "cli/document.h"
#include "cli/secret.h"
#include "cli/terminal.h"
#include "server/auth.h"
#include "server/decimal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a command needs besides its options. */
enum {
    NEEDS_USERNAME = 1,
    NEEDS_OPERAND = 2,  /* the order's name */
    NEEDS_PASSWORD = 4, /* a new one */
    NEEDS_CONSENT = 8,  /* it can't be undone */
};

struct form {
    const char *command;
    enum admin_verb verb;
    unsigned needs;
    const char *rows;     /* the member that the table is made of; NULL: the answer is the only row */
    const char *sentence; /* what is said of the order's name, instead of a table; NULL: there is one */
    const struct document_column *columns;
    size_t column_count;
};

#define COLUMNS(array) array, sizeof(array) / sizeof *(array)

static const struct document_column user_columns[] = {
    {"NAME", "name", CELL_TEXT},         {"ROLE", "role", CELL_TEXT},       {"DATABASES", "databases", CELL_LIST},
    {"PREFIXES", "prefixes", CELL_LIST}, {"IN", "configured", CELL_ORIGIN}, {"CREATED", "created_at", CELL_TEXT},
};
static const struct document_column token_columns[] = {
    {"ID", "id", CELL_TEXT},
    {"NAME", "name", CELL_TEXT},
    {"USER", "user", CELL_TEXT},
    {"ROLE", "role", CELL_TEXT},
    {"DATABASES", "databases", CELL_LIST},
    {"PREFIXES", "prefixes", CELL_LIST},
    {"CREATED", "created_at", CELL_TEXT},
    {"EXPIRES", "expires_at", CELL_TEXT},
};
static const struct document_column database_columns[] = {
    {"NAME", "name", CELL_TEXT},
    {"STATUS", "status", CELL_TEXT},
    {"SIZE", "size_bytes", CELL_BYTES},
    {"KEYS (ABOUT)", "keys_estimate", CELL_TEXT},
    {"LIMIT", "max_disk_bytes", CELL_BYTES},
    {"CREATED", "created_at", CELL_TEXT},
    {"DETAIL", "detail", CELL_TEXT},
};

static const struct form forms[] = {
    {"admin create-user", ADMIN_CREATE_USER, NEEDS_USERNAME | NEEDS_PASSWORD, NULL, NULL, COLUMNS(user_columns)},
    {"admin list-users", ADMIN_LIST_USERS, 0, "users", NULL, COLUMNS(user_columns)},
    {"admin set-password", ADMIN_SET_PASSWORD, NEEDS_USERNAME | NEEDS_PASSWORD, NULL, "has a new password", NULL, 0},
    {"admin delete-user", ADMIN_DELETE_USER, NEEDS_USERNAME, NULL, "is deleted, with all tokens and sessions", NULL, 0},
    {"admin create-token", ADMIN_CREATE_TOKEN, 0, NULL, NULL, NULL, 0},
    {"admin list-tokens", ADMIN_LIST_TOKENS, 0, "tokens", NULL, COLUMNS(token_columns)},
    {"admin revoke-token", ADMIN_REVOKE_TOKEN, NEEDS_OPERAND, NULL, "is revoked", NULL, 0},
    {"admin create-database", ADMIN_CREATE_DATABASE, NEEDS_OPERAND, NULL, NULL, COLUMNS(database_columns)},
    {"admin list-databases", ADMIN_LIST_DATABASES, 0, "databases", NULL, COLUMNS(database_columns)},
    {"admin drop-database", ADMIN_DROP_DATABASE, NEEDS_OPERAND | NEEDS_CONSENT, NULL, "is dropped", NULL, 0},
};

static const struct form *form_of(const struct command *command) {
    const struct form *form = forms;
    while (strcmp(form->command, command->name) != 0) form++; /* the table of commands has no other */
    return form;
}

/* ---- reading options -------------------------------------------------------------------------------------------- */

static void words_free(struct admin_words *words) {
    free(words->text);
    free(words->words);
}

static int read_words(const char *option, const char *text, struct admin_words *out) {
    size_t room = 1;
    char *rest = NULL;
    if (!text) return EXIT_DONE;
    for (const char *p = text; *p; p++) room += *p == ',';
    out->text = strdup(text);
    out->words = calloc(room, sizeof *out->words);
    if (!out->text || !out->words) return complain(EXIT_FAILED, "no memory");
    for (char *word = strtok_r(out->text, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
        out->words[out->count++] = word;
    if (out->count) return EXIT_DONE;
    return complain(EXIT_USAGE, "--%s: it is a list such as a,b; leave it out for all", option);
}

/* "90d": a number and its unit. */
static int read_duration(const char *text, uint64_t *out_seconds) {
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    size_t size = text ? strlen(text) : 0;
    uint64_t number;
    if (!text) return EXIT_DONE;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (size && text[size - 1] == units[i].unit && decimal_u64(velocity_bytes(text, size - 1), &number) && number &&
            number <= UINT32_MAX) {
            *out_seconds = number * units[i].seconds;
            return EXIT_DONE;
        }
    return complain(EXIT_USAGE, "--expires %s: it is a number and s, m, h or d, such as 90d", text);
}

static int read_bytes(const char *text, uint64_t *out) {
    if (!text || (decimal_u64(velocity_str(text), out) && *out)) return EXIT_DONE;
    return complain(EXIT_USAGE, "--max-disk-bytes %s: it is a number of bytes, without a unit", text);
}

static int read_role(const char *text) {
    enum role role;
    if (!text || role_parse(velocity_str(text), &role)) return EXIT_DONE;
    return complain(EXIT_USAGE, "--role %s: it is admin, write, read or monitor", text);
}

static int read_names(const struct form *form, const struct command *command, const struct command_arguments *arguments,
                      struct admin_order *order) {
    const char *username = command_value(command, arguments, "username");
    if (form->needs & NEEDS_OPERAND) {
        if (arguments->operand_count != 1 || !*arguments->operands[0])
            return complain(EXIT_USAGE, "%s takes one %s; see \"velocity help %s\"", command->name, command->operand,
                            command->name);
        order->name = arguments->operands[0];
    } else if (order->verb == ADMIN_CREATE_TOKEN) {
        order->name = command_value(command, arguments, "name");
        order->user = username;
        if (!order->name || !*order->name)
            return complain(EXIT_USAGE, "%s needs --name TEXT: what the token is for", command->name);
    } else {
        order->name = username;
    }
    order->login = command_value(command, arguments, "login");
    /* Whoever logs in with a password and names nobody else changes the own one. */
    if (order->verb == ADMIN_SET_PASSWORD && order->login && (!username || strcmp(username, order->login) == 0)) {
        order->verb = ADMIN_SET_OWN_PASSWORD;
        order->name = NULL;
    } else if ((form->needs & NEEDS_USERNAME) && (!username || !*username)) {
        return complain(EXIT_USAGE, "%s needs --username NAME", command->name);
    }
    if (order->login && (!*order->login || strchr(order->login, ':')))
        return complain(EXIT_USAGE, "--login: it is the name of a user");
    return EXIT_DONE;
}

static int read_order(const struct form *form, const struct command *command, const struct command_arguments *arguments,
                      struct admin_order *order) {
    order->verb = form->verb;
    order->role = command_value(command, arguments, "role");
    int code = read_names(form, command, arguments, order);
    if (!code) code = read_role(order->role);
    if (!code) code = read_words("databases", command_value(command, arguments, "databases"), &order->databases);
    if (!code) code = read_words("prefixes", command_value(command, arguments, "prefixes"), &order->prefixes);
    if (!code) code = read_duration(command_value(command, arguments, "expires"), &order->expires_in_seconds);
    if (!code) code = read_bytes(command_value(command, arguments, "max-disk-bytes"), &order->max_disk_bytes);
    return code;
}

/* ---- passwords, consent ----------------------------------------------------------------------------------------- */

struct passwords {
    struct secret login, new;
};

/* First who asks, then the new one: so they stand on standard input, too. */
static int read_passwords(const struct form *form, const struct command *command,
                          const struct command_arguments *arguments, struct admin_order *order, struct passwords *p) {
    const char *given = command_value(command, arguments, "password");
    bool from_input = command_value(command, arguments, "password-stdin") != NULL;
    int code = EXIT_DONE;
    if (given && from_input && !order->login) return complain(EXIT_USAGE, "--password or --password-stdin, not both");
    if (order->login) {
        code = secret_password(order->login, from_input, false, &p->login);
        order->login_password = p->login.text;
        if (order->verb == ADMIN_SET_OWN_PASSWORD) order->old_password = p->login.text;
    }
    if (code || !(form->needs & NEEDS_PASSWORD)) return code;
    char whose[AUTH_NAME_MAX + 16];
    (void)snprintf(whose, sizeof whose, "%s%s", order->name ? order->name : order->login,
                   order->login && !order->name ? " (new)" : "");
    order->password = p->new.text;
    return given ? secret_argument(given, &p->new) : secret_password(whose, from_input, true, &p->new);
}

static int ask_consent(const struct form *form, const struct command *command,
                       const struct command_arguments *arguments, const struct admin_order *order) {
    char question[256], answer[128];
    if (!(form->needs & NEEDS_CONSENT) || command_value(command, arguments, "yes")) return EXIT_DONE;
    if (!terminal_is_there())
        return complain(EXIT_USAGE, "%s can't be undone, and there is no terminal to ask: say --yes", command->name);
    (void)snprintf(question, sizeof question, "All data of %s will be gone. To go on, type its name: ", order->name);
    if (terminal_ask(question, false, answer, sizeof answer) == LINE_READ && strcmp(answer, order->name) == 0)
        return EXIT_DONE;
    return complain(EXIT_FAILED, "%s is left as it is", order->name);
}

/* ---- showing the answer ----------------------------------------------------------------------------------------- */

/* The token alone on standard output, for programs; everything else about it on standard error. */
static int show_token(struct json_value token) {
    char secret[AUTH_SECRET_BYTES + 80], id[80], user[AUTH_NAME_MAX + 1], role[16], end[64];
    document_text(token, "token", secret, sizeof secret);
    document_text(token, "id", id, sizeof id);
    document_text(token, "user", user, sizeof user);
    document_text(token, "role", role, sizeof role);
    document_text(token, "expires_at", end, sizeof end);
    if (!*secret) return complain(EXIT_FAILED, "the answer has no token in it");
    printf("%s\n", secret);
    explicit_bzero(secret, sizeof secret);
    return complain(EXIT_DONE, "this token is shown once; it is %s's, role %s, id %s, and ends %s",
                    *user ? user : "nobody", role, id, end);
}

static int show_answer(const struct form *form, const struct admin_order *order, const struct http_reply *reply) {
    struct json_value answer = {0}, rows;
    if (form->sentence) {
        printf("%s %s\n", order->name ? order->name : order->login, form->sentence);
        return EXIT_DONE;
    }
    bool good = reply->body && json_parse(velocity_bytes(reply->body, reply->size), &answer, NULL) &&
                answer.type == JSON_OBJECT;
    rows = answer;
    if (good && form->rows) good = document_member(answer, form->rows, &rows) && rows.type == JSON_ARRAY;
    if (!good) return complain(EXIT_FAILED, "the answer is not what was asked for: is it a server of Velocity?");
    if (!form->columns) return show_token(answer);
    return document_table(rows, form->columns, form->column_count) ? EXIT_DONE : complain(EXIT_FAILED, "no memory");
}

static int show_json(const struct http_reply *reply) {
    bool held = false;
    if (!reply->size) return EXIT_DONE;
    bool ok = document_print(reply->body, reply->size, false, &held);
    if (ok && reply->body[reply->size - 1] != '\n') ok = putchar('\n') != EOF;
    return ok ? EXIT_DONE : complain(EXIT_FAILED, "can't write to standard output");
}

int run_admin(const struct command *command, const struct command_arguments *arguments) {
    const struct form *form = form_of(command);
    struct admin_order order = {0};
    struct passwords passwords = {0};
    struct http_reply reply = {0};
    int code = read_order(form, command, arguments, &order);
    if (!code) code = ask_consent(form, command, arguments, &order);
    if (!code) code = read_passwords(form, command, arguments, &order, &passwords);
    if (!code) code = admin_carry_out(command, arguments, &order, &reply);
    if (!code) code = command_value(command, arguments, "json") ? show_json(&reply) : show_answer(form, &order, &reply);
    http_reply_free(&reply);
    explicit_bzero(&passwords, sizeof passwords);
    words_free(&order.databases);
    words_free(&order.prefixes);
    return code;
}
