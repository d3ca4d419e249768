/* http_failure.c - see http_failure.h. */
#include "cli/http_failure.h"
#include "cli/command.h"
#include "cli/document.h"

#include <stdio.h>
#include <string.h>

#define ADVICE_BYTES 4300 /* room for a path */
#define MEMBER_BYTES 100

/* ---- transfers --------------------------------------------------------------------------------------------------- */

/* Names in the server's certificate may be part of libcurl's words. */
const char *http_failure_why(CURLcode result, char error[CURL_ERROR_SIZE]) {
    if (!*error) return curl_easy_strerror(result);
    document_clean(error, strlen(error));
    return error;
}

int http_failure_of_transfer(const struct http_peer *peer, CURLcode result, char error[CURL_ERROR_SIZE], bool safe) {
    const char *why = http_failure_why(result, error);
    const char *doubt = safe ? "" : "; whether it was done is not known: look before you do it again";
    switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST: return complain(EXIT_FAILED, "there is no machine of that name: %s", peer->server);
    case CURLE_COULDNT_CONNECT:
        return complain(EXIT_FAILED, "can't reach %s: %s; does the server run there?", peer->base, why);
    case CURLE_PEER_FAILED_VERIFICATION:
        return complain(EXIT_FAILED, "the certificate of %s can't be verified: %s", peer->base, why);
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        return complain(EXIT_FAILED,
                        "%s shows another key than %s: it was set up anew, or somebody stands between; nothing was "
                        "sent",
                        peer->base, peer->pin_from);
    case CURLE_SSL_CACERT_BADFILE:
        return complain(EXIT_FAILED, "can't read the authorities in %s: %s",
                        peer->options->ca_file ? peer->options->ca_file : "the system's file", why);
    case CURLE_SSL_CONNECT_ERROR:
        return complain(EXIT_FAILED, "can't speak TLS with %s: %s; is it a plain http:// server?", peer->base, why);
    case CURLE_WRITE_ERROR:
    case CURLE_FILESIZE_EXCEEDED:
        return complain(EXIT_FAILED, "%s answers more than %u MiB%s", peer->base, HTTP_REPLY_MAX_BYTES >> 20, doubt);
    case CURLE_OPERATION_TIMEDOUT: return complain(EXIT_FAILED, "%s did not answer in time%s", peer->base, doubt);
    default: return complain(EXIT_FAILED, "no answer from %s: %s%s", peer->base, why, doubt);
    }
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

/* What to do about it, for people. */
static void advise(const struct http_peer *peer, CURL *curl, long status, char out[ADVICE_BYTES]) {
    const struct http_client_options *options = peer->options;
    curl_off_t seconds = 0;
    *out = '\0';
    (void)curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &seconds);
    if (status == 401 && (options->user || *options->token))
        (void)snprintf(out, ADVICE_BYTES, "; the %s is wrong, or has ended", options->user ? "password" : "token");
    else if (status == 401)
        (void)snprintf(out, ADVICE_BYTES,
                       "; log in with --login NAME, or with a token in --token-file, VELOCITY_TOKEN or %s",
                       options->token_path);
    else if ((status == 429 || status == 503) && seconds > 0)
        (void)snprintf(out, ADVICE_BYTES, "; again in %ld s", (long)seconds);
}

/* What a problem says for programs, ", name value" each: which operation, key, version or byte it is about. What
 * ended an import at which line its command tells in rows. */
static void add_members(struct json_value problem, char *out, size_t size) {
    static const char *const names[] = {"index", "key", "key64", "current_version", "offset"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct json_value member;
        char text[MEMBER_BYTES] = "";
        size_t at = strlen(out);
        if (!document_member(problem, names[i], &member)) continue;
        if (member.type == JSON_STRING)
            document_text(problem, names[i], text, sizeof text);
        else if (member.type == JSON_NUMBER || member.type == JSON_NULL)
            (void)snprintf(text, sizeof text, "%.*s", (int)member.raw.size, (const char *)member.raw.data);
        if (*text) (void)snprintf(out + at, size - at, ", %s %s", names[i], text);
    }
}

static int complain_of_redirect(const struct http_peer *peer, CURL *curl, long status) {
    char where[512] = "nowhere", *elsewhere = NULL;
    (void)curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &elsewhere);
    if (elsewhere) (void)snprintf(where, sizeof where, "%s", elsewhere);
    document_clean(where, strlen(where));
    return complain(EXIT_FAILED, "%s sends elsewhere, to %s (HTTP %ld); if that is right, give it as --url", peer->base,
                    where, status);
}

int http_failure_of_reply(const struct http_peer *peer, CURL *curl, const struct http_reply *reply, const char *about) {
    char what[512] = "", code[64] = "", members[8 * MEMBER_BYTES] = "", advice[ADVICE_BYTES];
    struct json_value problem;
    if (reply->status >= 300 && reply->status < 400) return complain_of_redirect(peer, curl, reply->status);
    if (reply->body && json_parse(velocity_bytes(reply->body, reply->size), &problem, NULL)) {
        document_text(problem, "code", code, sizeof code);
        document_text(problem, "detail", what, sizeof what);
        if (!*what) document_text(problem, "title", what, sizeof what);
        add_members(problem, members, sizeof members);
    }
    if (about && strstr(what, about)) about = NULL; /* it says so itself */
    if (!*what)
        return complain(EXIT_FAILED, "%s answers with HTTP %ld, and not as Velocity does: is it the right address?",
                        peer->base, reply->status);
    advise(peer, curl, reply->status, advice);
    return complain(reply->status == 404 ? EXIT_NOT_FOUND : EXIT_FAILED, "%s%s%s (HTTP %ld%s%s%s)%s",
                    about ? about : "", about ? ": " : "", what, reply->status, *code ? " " : "", code, members,
                    advice);
}
