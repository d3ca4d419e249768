/*
 * bare_mhd.c - the yardstick of the HTTP front: libmicrohttpd with Velocity's threads, answering every request with the
 * same 100 bytes. What it reaches is what no server on this library can exceed.
 *
 * Listens on a free port of the loopback interface, prints the port, and runs until SIGTERM or SIGINT.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BODY_BYTES     100
#define CONNECTION_MAX 1024u

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_bytes, void **state) {
    (void)url, (void)method, (void)version, (void)upload;
    *upload_bytes = 0;
    if (!*state) { /* to queue an answer in the first call would close the connection */
        *state = arg;
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_OK, arg);
}

static struct MHD_Daemon *start(struct MHD_Response *response) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer, response, MHD_OPTION_SOCK_ADDR,
                            (struct sockaddr *)&address, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)(cores > 0 ? cores : 1),
                            MHD_OPTION_CONNECTION_LIMIT, CONNECTION_MAX, MHD_OPTION_END);
}

int main(void) {
    static char body[BODY_BYTES];
    sigset_t ending;
    int number;
    memset(body, 'v', sizeof body);
    (void)sigemptyset(&ending);
    (void)sigaddset(&ending, SIGTERM);
    (void)sigaddset(&ending, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &ending, NULL);
    struct MHD_Response *response = MHD_create_response_from_buffer(sizeof body, body, MHD_RESPMEM_PERSISTENT);
    struct MHD_Daemon *daemon = response ? start(response) : NULL;
    if (!daemon) {
        (void)fprintf(stderr, "bare_mhd: cannot start\n");
        return 1;
    }
    (void)printf("%u\n", (unsigned)MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    (void)fflush(stdout);
    (void)sigwait(&ending, &number);
    MHD_stop_daemon(daemon);
    MHD_destroy_response(response);
    return 0;
}
