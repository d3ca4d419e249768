/* fixture.c - see fixture.h. */
#include "tests/server/fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct principal admin = {.references = 1, .user = "", .role = ROLE_ADMIN};

static const struct service_action anything = {
    .name = "anything", .permission = PERMISSION_WRITE, .audit = AUDIT_WRITE, .in_database = true};

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static bool open_databases(struct fixture *f) {
    char system[80], folder[80];
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    (void)snprintf(system, sizeof system, "%s/system", f->folder);
    (void)snprintf(folder, sizeof folder, "%s/databases", f->folder);
    if (velocity_open(system, &options, &f->system) != VELOCITY_OK || mkdir(folder, 0700) != 0) return false;
    struct databases_options databases = {.folder = folder,
                                          .system = f->system,
                                          .template = options,
                                          .cache_bytes = 8 << 20,
                                          .total_memtable_bytes = 64 << 20,
                                          .max_open_files = 100,
                                          .background_threads = 1,
                                          .max_databases = 10};
    return databases_open(&databases, &f->databases) == VELOCITY_OK;
}

bool fixture_open(struct fixture *f, const struct fixture_options *options) {
    char path[80];
    memset(f, 0, sizeof *f);
    strcpy(f->folder, "/tmp/velocity-service-XXXXXX");
    if (!mkdtemp(f->folder) || !open_databases(f)) return false;
    if (auth_open(f->system, &(struct auth_settings){0}, &f->auth) != VELOCITY_OK) return false;
    (void)snprintf(path, sizeof path, "%s/audit.db", f->folder);
    if (options->audited && audit_open(path, options->audited, NULL, &f->audit) != VELOCITY_OK) return false;
    struct service_options service = {.executor_threads = 2,
                                      .max_value_bytes = 1 << 20,
                                      .max_inflight_bytes =
                                          options->max_inflight_bytes ? options->max_inflight_bytes : 1000,
                                      .disk_reserve_bytes = options->disk_reserve_bytes,
                                      .data_dir = f->folder,
                                      .databases = f->databases,
                                      .auth = f->auth,
                                      .audit = f->audit};
    f->service = service_new(&service);
    return f->service != NULL;
}

bool fixture_close(struct fixture *f) {
    service_free(f->service);
    audit_close(f->audit);
    auth_free(f->auth);
    velocity_status status = databases_close(f->databases);
    if (velocity_close(f->system) != VELOCITY_OK) return false;
    return nftw(f->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0 && status == VELOCITY_OK;
}

/* ---- a front that waits ----------------------------------------------------------------------------------------- */

static void answered(struct service_request *request) {
    struct call *call = (struct call *)request;
    pthread_mutex_lock(&call->mutex);
    call->answers++;
    pthread_cond_signal(&call->answered);
    pthread_mutex_unlock(&call->mutex);
}

static void wait_for(struct call *call) {
    pthread_mutex_lock(&call->mutex);
    while (!call->answers) pthread_cond_wait(&call->answered, &call->mutex);
    call->answers = 0;
    pthread_mutex_unlock(&call->mutex);
}

static void prepare(struct call *call) {
    pthread_mutex_init(&call->mutex, NULL);
    pthread_cond_init(&call->answered, NULL);
    call->answers = 0;
    call->request.done = call->request.ready = answered;
    if (!call->request.action) call->request.action = &anything;
    if (!call->request.caller.principal && call->request.action->permission != PERMISSION_NONE)
        call->request.caller.principal = &admin;
    if (!call->request.database_name.data) call->request.database_name = velocity_str("default");
}

void start_call(struct fixture *f, struct call *call) {
    struct service_request *request = &call->request;
    prepare(call);
    while ((call->verdict = service_admit(f->service, request)) == SERVICE_PENDING) wait_for(call);
    if (call->verdict == SERVICE_ADMITTED)
        while ((call->verdict = service_reserve(f->service, request)) == SERVICE_PENDING) wait_for(call);
    call->started = call->verdict == SERVICE_ADMITTED && !service_try(f->service, request);
    if (call->started) service_start(f->service, request);
}

velocity_status await_call(struct fixture *f, struct call *call) {
    struct service_request *request = &call->request;
    if (call->started) wait_for(call);
    bool good = call->verdict == SERVICE_ADMITTED && request->status == VELOCITY_OK;
    if (service_settle(f->service, request, good ? 200 : 400) == SERVICE_PENDING) wait_for(call);
    return request->status;
}

velocity_status perform(struct fixture *f, struct call *call) {
    start_call(f, call);
    return await_call(f, call);
}

void end(struct call *call) {
    service_request_destroy(&call->request);
    pthread_mutex_destroy(&call->mutex);
    pthread_cond_destroy(&call->answered);
}

struct call make_put(const char *key, const char *value) {
    struct call call = {.request = {.operation = SERVICE_PUT, .key = velocity_str(key), .value = velocity_str(value)}};
    return call;
}

uint64_t put(struct fixture *f, const char *key, const char *value) {
    struct call call = make_put(key, value);
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    uint64_t version = call.request.version;
    end(&call);
    return version;
}

void assert_value(struct fixture *f, const char *key, const char *value) {
    struct call call = {.request = {.operation = SERVICE_GET, .key = velocity_str(key)}};
    assert_int_equal(perform(f, &call), value ? VELOCITY_OK : VELOCITY_NOT_FOUND);
    if (value) assert_slice(velocity_bytes(call.request.found.data, call.request.found.size), velocity_str(value));
    end(&call);
}
