/*
 * A stand-in for libnvidia-ml.so.1, for tests on machines without a GPU: it exports the part of
 * NVML that pytest-energy uses, reads a text scenario, and simulates boards whose true energy is
 * known in closed form. README.md beside this file describes the scenario and what is modelled.
 *
 * Inside, times are milliseconds since the scenario was loaded, powers watts, energies mJ (= W ms).
 * Structures and constants follow the ctypes definitions in nvidia-ml-py, not NVIDIA's header.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- The NVML interface --------------------------------------------------------------------- */

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15, UNKNOWN = 999,
    FIELD_POWER_INSTANT = 186, SCOPE_GPU = 0, VALUE_UNSIGNED_INT = 1,
};
#define NO_INSTANCE 0xFFFFFFFFu /* instance id of a process on a board without MIG */
#define NVML unsigned           /* nvmlReturn_t, what the exported NVML functions return */
typedef struct unit *nvmlDevice_t;

struct process_info { /* c_nvmlProcessInfo_v3_t */
    unsigned pid;
    unsigned long long used_memory;
    unsigned gpu_instance, compute_instance;
};
struct field_value { /* c_nvmlFieldValue_t; value is a union, here as its widest member */
    uint32_t field, scope;
    int64_t timestamp_us, latency_us;
    unsigned value_type, result;
    unsigned long long value;
};
struct attributes { /* c_nvmlDeviceAttributes */
    unsigned multiprocessors, copy_engines, decoders, encoders, jpegs, ofas;
    unsigned gpu_instance_slices, compute_instance_slices;
    unsigned long long memory_mb;
};
static_assert(sizeof(struct process_info) == 24 && sizeof(struct field_value) == 40 &&
              sizeof(struct attributes) == 40, "the layouts that pynvml.py declares");

static const char *const functions[] = {
    "nvmlInit", "nvmlInit_v2", "nvmlInitWithFlags", "nvmlShutdown", "nvmlErrorString",
    "nvmlSystemGetDriverVersion", "nvmlSystemGetNVMLVersion", "nvmlDeviceGetCount_v2",
    "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetIndex",
    "nvmlDeviceGetUUID", "nvmlDeviceGetName", "nvmlDeviceGetArchitecture",
    "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit",
    "nvmlDeviceGetTemperature", "nvmlDeviceGetClockInfo",
    "nvmlDeviceGetCurrentClocksThrottleReasons",
    "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetMigMode", "nvmlDeviceGetMaxMigDeviceCount", "nvmlDeviceGetAttributes_v2",
    "nvmlDeviceGetMigDeviceHandleByIndex", "nvmlDeviceGetDeviceHandleFromMigDeviceHandle",
};

/* ---- State ---------------------------------------------------------------------------------- */

enum { FUNCTIONS = sizeof functions / sizeof *functions, TEXT_SIZE = 96 };
enum { MAX_BOARDS = 16, MAX_MIG = 7, MAX_PROCESSES = 64, MAX_PAIRS = 32 };
enum { EVERY_BOARD = -1, NO_BOARD = MAX_BOARDS, SELF = -1 };
enum { YES = -1, NO = -2, FROZEN = -3, COMPUTE = -1, GRAPHICS = -2 }; /* words: see number() */
enum { MIG_UNSUPPORTED = -1, MIG_DISABLED = -2, MIG_ENABLED = -3 };

/* The numbers of a gpu statement, and their defaults. */
#define SETTINGS(X)                                                                                \
    X(watts, 50) X(limit_w, 400) X(decay_ms, 0) X(period_ms, 100) X(jitter_ms, 0) X(phase_ms, 0)   \
    X(latency_us, 0) X(average_ms, 0) X(power_period_ms, 0) X(celsius, 40) X(sm_mhz, 1410)         \
    X(throttled, 0) X(gain, 1) X(lag_ms, 0) X(power_lag_ms, 0) X(false_w, 0)
#define DECLARE(key, fallback) double key;

/* From t until the next segment: P(u) = watts + excess * exp(-(u - t) / decay). */
struct segment { double t, watts, excess, mj; };
struct process { double pid; int type, mig; };
struct fault { unsigned error; double from, until; };
struct unit { /* what a handle points at: a board (mig < 0) or one of its MIG devices */
    struct board *board;
    int mig;
    unsigned slices;
    char uuid[TEXT_SIZE], name[TEXT_SIZE];
};
struct board { /* arrays have a spare place, so that one too many is noticed after it is stored */
    SETTINGS(DECLARE)
    int counter, instant, procs, mig_mode, mig_count, process_count;
    unsigned arch;
    uint64_t random, start_mj, frozen_mj;
    double zero_mj, last_tick, next_tick; /* zero_mj: the integral when the counter was start_mj */
    double thaw_ms; /* when a frozen counter goes on */
    struct segment *segments; /* in order of time; scripted ones may lie in the future */
    size_t segment_count;
    struct unit whole, migs[MAX_MIG + 1];
    struct process processes[MAX_PROCESSES + 1];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards everything below */
static enum { UNREAD, BROKEN, LOADED } scenario;
static unsigned references;
static int board_count;
static double clock_zero;
static char driver_version[TEXT_SIZE] = "570.00-simulated",
    nvml_version[TEXT_SIZE + 8] = "12.570.00-simulated";
static struct board boards[MAX_BOARDS + 1];
static struct fault faults[FUNCTIONS][MAX_BOARDS + 1]; /* the last is for calls without a device */
static unsigned long long calls[FUNCTIONS];

/* ---- What other processes do to the boards: a file of events, appended by all of them -------- */

static double now_ms(void);
static void change_target(struct board *b, double t, double watts);
static void list_process(struct board *b, double pid, bool listed);

struct event { double at_ms, watts, pid; unsigned gpu; int kind; }; /* kind: 0 power, 1 on, 2 off */
static long events_read;

/* Takes over what was appended since the last call; under the lock. */
static void take_events(void)
{
    const char *path = getenv("FAKE_NVML_EVENTS");
    FILE *file = path && scenario == LOADED ? fopen(path, "re") : NULL;
    struct event e;
    if (!file)
        return;
    fseek(file, events_read * (long)sizeof e, SEEK_SET);
    for (; fread(&e, sizeof e, 1, file) == 1; events_read++) {
        double t = e.at_ms - clock_zero;
        if (e.gpu >= (unsigned)board_count)
            continue;
        if (e.kind == 0)
            change_target(&boards[e.gpu], t > 0 ? t : 0, e.watts);
        else
            list_process(&boards[e.gpu], e.pid, e.kind == 1);
    }
    fclose(file);
}

static bool tell_others(struct event e)
{
    const char *path = getenv("FAKE_NVML_EVENTS");
    FILE *file = path ? fopen(path, "ae") : NULL;
    if (!file)
        return false;
    e.at_ms = now_ms() + clock_zero;
    fwrite(&e, sizeof e, 1, file);
    fclose(file);
    take_events();
    return true;
}

static void lock(void) { pthread_mutex_lock(&mutex); }
static void unlock(void) { pthread_mutex_unlock(&mutex); }

/* A fork while another thread is in here must not leave the child a locked mutex. */
__attribute__((constructor)) static void at_load(void) { pthread_atfork(lock, unlock, unlock); }

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6 - clock_zero;
}

/* ---- Physics -------------------------------------------------------------------------------- */

static double segment_watts(const struct board *b, const struct segment *s, double t)
{
    return s->watts + (s->excess > 0 ? s->excess * exp(-(t - s->t) / b->decay_ms) : 0);
}

static double segment_mj(const struct board *b, const struct segment *s, double t)
{
    double decayed = s->excess > 0 ? -expm1(-(t - s->t) / b->decay_ms) : 0;
    return s->mj + s->watts * (t - s->t) + s->excess * b->decay_ms * decayed;
}

/* The first segment also covers the time before it, where a mean power may reach back to. */
static const struct segment *segment_at(const struct board *b, double t)
{
    size_t i = b->segment_count - 1;
    while (i > 0 && b->segments[i].t > t)
        i--;
    return &b->segments[i];
}

static double true_mj(const struct board *b, double t)
{
    return segment_mj(b, segment_at(b, t), t);
}

static void change_target(struct board *b, double t, double watts)
{
    size_t at = b->segment_count ? (size_t)(segment_at(b, t) - b->segments) + 1 : 0;
    b->segments = realloc(b->segments, ++b->segment_count * sizeof *b->segments);
    if (!b->segments)
        abort();
    struct segment *new = b->segments + at, *end = b->segments + b->segment_count;
    memmove(new + 1, new, (size_t)(end - (new + 1)) * sizeof *new);
    *new = (struct segment){ .t = t, .watts = watts };
    for (struct segment *s = at ? new : new + 1; s < end; s++) { /* scripted later ones shift too */
        double before = segment_watts(b, s - 1, s->t);
        s->mj = segment_mj(b, s - 1, s->t);
        s->excess = b->decay_ms > 0 && before > s->watts ? before - s->watts : 0;
    }
}

static uint64_t counter_mj(struct board *b, double now)
{
    if (b->counter == FROZEN && now >= b->thaw_ms) { /* what was used meanwhile is lost */
        b->counter = YES;
        b->start_mj = b->frozen_mj;
        b->zero_mj = true_mj(b, b->thaw_ms - b->lag_ms);
    }
    while (b->period_ms > 0 && b->next_tick <= now) {
        b->random = b->random * 6364136223846793005u + 1442695040888963407u;
        b->last_tick = b->next_tick;
        b->next_tick += b->period_ms + b->jitter_ms * (double)(b->random >> 11) * 0x1p-53;
    }
    double mj = b->gain * (true_mj(b, (b->period_ms > 0 ? b->last_tick : now) - b->lag_ms) - b->zero_mj);
    return b->counter == FROZEN ? b->frozen_mj : b->start_mj + (mj > 0 ? (uint64_t)mj : 0);
}

static unsigned power_mw(const struct board *b, double now, double window)
{
    double t = b->power_period_ms > 0 ? floor(now / b->power_period_ms) * b->power_period_ms : now;
    if (b->false_w > 0)
        return (unsigned)lround(b->false_w * 1e3);
    t -= b->power_lag_ms;
    double watts = window > 0 ? (true_mj(b, t) - true_mj(b, t - window)) / window
                              : segment_watts(b, segment_at(b, t), t);
    return (unsigned)lround(watts * 1e3);
}

/* ---- Calls and faults ----------------------------------------------------------------------- */

/* As in pynvml, a name without its version will do: nvmlDeviceGetCount. -1 if there is none. */
static int find_function(const char *name)
{
    size_t n = strlen(name);
    for (int f = 0; f < FUNCTIONS; f++)
        if (!strncmp(functions[f], name, n) && (!functions[f][n] || functions[f][n] == '_'))
            return f;
    return -1;
}

/* "all" is every function, but only where it takes or finds a device: what a lost board breaks. */
static bool set_fault(const char *name, int board, struct fault fault)
{
    int wanted = find_function(name);
    bool all = !strcmp(name, "all");
    for (int f = 0; f < FUNCTIONS; f++)
        for (int i = 0; i <= NO_BOARD && (all || f == wanted); i++)
            if (i == NO_BOARD ? !all : board == i || board == EVERY_BOARD)
                faults[f][i] = fault;
    return all || wanted >= 0;
}

static unsigned fault_of(int f, int board)
{
    const struct fault *fault = &faults[f][board];
    double now = now_ms();
    return now >= fault->from && now < fault->until ? fault->error : SUCCESS;
}

/* ---- Scenario ------------------------------------------------------------------------------- */

struct statement {
    const char *path;
    int line, count;
    bool bad;
    char keys[MAX_PAIRS][TEXT_SIZE], values[MAX_PAIRS][TEXT_SIZE];
};

static void complain(struct statement *s, const char *subject, const char *problem)
{
    if (!s->bad)
        fprintf(stderr, "%s:%d: fake_nvml: %s: %s\n", s->path, s->line, subject, problem);
    s->bad = true;
}

/* The value of a key, whose name is struck off so that keys nobody asked for stand out. */
static const char *text(struct statement *s, const char *key, const char *fallback)
{
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->keys[i], key)) {
            s->keys[i][0] = '\0';
            return s->values[i];
        }
    if (!fallback)
        complain(s, key, "missing");
    return fallback ? fallback : "";
}

/* A number from 0 to max, whole unless max is INFINITY; or the nth of the words, read as -n. */
static double number(struct statement *s, const char *key, const char *fallback, double max,
                     const char *words)
{
    const char *value = text(s, key, fallback);
    size_t length = strlen(value);
    char *end;
    double result = strtod(value, &end);
    for (int n = 1; *words; words += strcspn(words, " "), words += strspn(words, " "), n++)
        if (strcspn(words, " ") == length && !strncmp(words, value, length))
            return -n;
    if (*end || !(result >= 0 && result <= max) || (max < INFINITY && result != floor(result)))
        complain(s, key, "not a number in its range, nor one of its words");
    return s->bad ? 0 : result;
}

static nvmlDevice_t find_uuid(const char *uuid)
{
    for (struct board *b = boards; b < boards + board_count; b++)
        for (int i = -1; i < b->mig_count; i++) {
            nvmlDevice_t unit = i < 0 ? &b->whole : &b->migs[i];
            if (!strcmp(unit->uuid, uuid))
                return unit;
        }
    return NULL;
}

static void gpu_statement(struct statement *s)
{
    struct board *b = &boards[board_count];
    char uuid[TEXT_SIZE];
    snprintf(uuid, sizeof uuid, "GPU-fa4e0000-0000-0000-0000-%012d", board_count);
#define READ(key, fallback) b->key = number(s, #key, #fallback, INFINITY, "");
    SETTINGS(READ)
    b->next_tick = b->phase_ms;
    b->arch = (unsigned)number(s, "arch", "7", UINT32_MAX, "");
    b->random = (uint64_t)number(s, "seed", "1", 0x1p53, "");
    b->start_mj = b->frozen_mj = (uint64_t)number(s, "start_mj", "123456789012", 0x1p53, "");
    b->counter = (int)number(s, "counter", "yes", -1, "yes no frozen");
    b->instant = (int)number(s, "instant", "yes", -1, "yes no");
    b->procs = (int)number(s, "procs", "yes", -1, "yes no");
    b->mig_mode = (int)number(s, "mig", "unsupported", -1, "unsupported disabled enabled");
    b->whole = (struct unit){ .board = b, .mig = -1 };
    strcpy(b->whole.uuid, text(s, "uuid", uuid));
    strcpy(b->whole.name, text(s, "name", "Fake-A100"));
    for (char *c = b->whole.name; (c = strchr(c, '_'));)
        *c = ' ';
    b->thaw_ms = INFINITY;
    change_target(b, 0, b->watts);
    if (find_uuid(b->whole.uuid) || board_count++ == MAX_BOARDS)
        complain(s, "gpu", "its UUID is taken, or there are too many");
}

static void mig_statement(struct statement *s, struct board *b)
{
    struct unit *u = &b->migs[b->mig_count];
    char board_name[TEXT_SIZE];
    *u = (struct unit){ .board = b, .mig = b->mig_count };
    u->slices = (unsigned)number(s, "slices", "1", MAX_MIG, "");
    strcpy(u->uuid, text(s, "uuid", NULL));
    strcpy(board_name, b->whole.name);
    snprintf(u->name, sizeof u->name, "%.70s MIG %ug.%ugb", board_name, u->slices, u->slices * 5);
    b->mig_mode = MIG_ENABLED;
    if (find_uuid(u->uuid) || b->mig_count++ == MAX_MIG)
        complain(s, "mig", "its UUID is taken, or there are too many");
}

static void process_statement(struct statement *s, struct board *b)
{
    struct process *p = &b->processes[b->process_count];
    p->pid = number(s, "pid", NULL, UINT32_MAX, "self");
    p->type = (int)number(s, "type", "compute", -1, "compute graphics");
    p->mig = b->mig_count ? (int)number(s, "mig", "0", b->mig_count - 1, "") : -1;
    if (b->process_count++ == MAX_PROCESSES)
        complain(s, "process", "there are too many");
}

static void fault_statement(struct statement *s)
{
    const char *name = text(s, "function", NULL);
    int board = (int)number(s, "gpu", "all", board_count - 1, "all");
    struct fault fault = { .error = (unsigned)number(s, "error", NULL, UNKNOWN, "") };
    fault.from = 1e3 * number(s, "after_s", "0", INFINITY, "");
    fault.until = 1e3 * number(s, "until_s", "inf", INFINITY, "");
    if (!s->bad && !set_fault(name, board, fault))
        complain(s, name, "not a function of this library");
}

static void at_statement(struct statement *s, struct board *b)
{
    double t = 1e3 * number(s, "seconds", NULL, INFINITY, "");
    double watts = number(s, "watts", NULL, INFINITY, "");
    if (!s->bad)
        change_target(b, t, watts);
}

static void run_statement(struct statement *s, const char *verb)
{
    void (*about_board)(struct statement *, struct board *) =
        !strcmp(verb, "mig") ? mig_statement : !strcmp(verb, "process") ? process_statement
                             : !strcmp(verb, "at") ? at_statement : NULL;
    if (about_board) {
        about_board(s, &boards[(int)number(s, "gpu", "0", board_count - 1, "")]);
    } else if (!strcmp(verb, "gpu")) {
        gpu_statement(s);
    } else if (!strcmp(verb, "fault")) {
        fault_statement(s);
    } else if (!strcmp(verb, "driver")) {
        strcpy(driver_version, text(s, "version", "570.00-simulated"));
        snprintf(nvml_version, sizeof nvml_version, "12.%s", driver_version);
    } else {
        complain(s, verb, "unknown statement");
    }
    for (int i = 0; i < s->count; i++)
        if (s->keys[i][0])
            complain(s, s->keys[i], "unknown or repeated key");
}

static bool run_line(const char *path, int line, char *rest)
{
    struct statement s = { .path = path, .line = line };
    char verb[TEXT_SIZE];
    int n = 0;
    rest[strcspn(rest, "#\r\n")] = '\0';
    if (sscanf(rest, " %95s%n", verb, &n) < 1)
        return true;
    while (rest += n, s.count < MAX_PAIRS &&
           sscanf(rest, " %95[^= \t]=%95[^ \t]%n", s.keys[s.count], s.values[s.count], &n) == 2)
        s.count++;
    if (rest[strspn(rest, " \t")])
        complain(&s, rest, "not key=value, or too long, or too many");
    else
        run_statement(&s, verb);
    return !s.bad;
}

/* Reads the scenario once in a process, and starts its clock. */
static unsigned load_scenario(void)
{
    const char *path = getenv("FAKE_NVML_SCENARIO");
    if (scenario != UNREAD)
        return scenario == LOADED ? SUCCESS : UNKNOWN;
    if (!path || !*path)
        return DRIVER_NOT_LOADED;
    FILE *file = fopen(path, "re");
    char *buffer = NULL;
    size_t size = 0;
    bool good = file;
    if (!good)
        fprintf(stderr, "%s: fake_nvml: %s\n", path, strerror(errno));
    for (int line = 1; good && getline(&buffer, &size, file) >= 0; line++)
        good = run_line(path, line, buffer);
    free(buffer);
    if (file)
        fclose(file);
    scenario = good ? LOADED : BROKEN;
    clock_zero = now_ms();
    return good ? SUCCESS : UNKNOWN;
}

/* ---- Entering and leaving ------------------------------------------------------------------- */

enum kind { NO_DEVICE, BOARD, BOARD_READING, BOARD_OR_MIG };

static bool is_handle(nvmlDevice_t device)
{
    for (struct board *b = boards; b < boards + board_count; b++)
        if (device == &b->whole || (device >= b->migs && device < b->migs + b->mig_count))
            return true;
    return false;
}

/* Counts the call and takes the lock, which stays taken only on SUCCESS. A reading first takes its
 * latency, unlocked, so that its value is as of the end of the call. */
static unsigned enter(const char *function, nvmlDevice_t device, enum kind kind, bool arguments)
{
    unsigned result = SUCCESS;
    int f = find_function(function);
    lock();
    calls[f]++;
    take_events();
    if (!references)
        result = UNINITIALIZED;
    else if (!arguments || (kind != NO_DEVICE && !is_handle(device)))
        result = INVALID_ARGUMENT;
    if (!result && kind == BOARD_READING && device->board->latency_us > 0) {
        double ns = 1e3 * device->board->latency_us;
        struct timespec left = { (time_t)(ns / 1e9), (long)fmod(ns, 1e9) };
        unlock();
        while (nanosleep(&left, &left) && errno == EINTR) {}
        lock();
    }
    if (!result)
        result = fault_of(f, kind == NO_DEVICE ? NO_BOARD : (int)(device->board - boards));
    if (!result && kind != NO_DEVICE && kind != BOARD_OR_MIG && device->mig >= 0)
        result = NOT_SUPPORTED;
    if (result)
        unlock();
    return result;
}

static unsigned leave(unsigned result)
{
    unlock();
    return result;
}

/* Begins an NVML function, which goes on under the lock and ends with return leave(result). */
#define ENTER(device, kind, arguments)                                                             \
    unsigned result = enter(__func__, device, kind, arguments);                                    \
    if (result)                                                                                    \
    return result

/* Defines function(handle, type *out), which stores value, or fails where error is not zero. */
#define GETTER(function, kind, type, error, value)                                                 \
    NVML function(nvmlDevice_t device, type *out)                                                  \
    {                                                                                              \
        ENTER(device, kind, out != NULL);                                                          \
        if ((result = (error)) == SUCCESS)                                                         \
            *out = (value);                                                                        \
        return leave(result);                                                                      \
    }

/* Defines function(parameters, out, size), which stores the text value. */
#define TEXT_GETTER(function, value, device, kind, ...)                                            \
    NVML function(__VA_ARGS__ char *out, unsigned size)                                            \
    {                                                                                              \
        ENTER(device, kind, out != NULL);                                                          \
        if (strlen(value) >= size)                                                                 \
            return leave(INSUFFICIENT_SIZE);                                                       \
        strcpy(out, value);                                                                        \
        return leave(SUCCESS);                                                                     \
    }

/* ---- The NVML functions --------------------------------------------------------------------- */

static unsigned initialise(const char *function)
{
    lock();
    calls[find_function(function)]++;
    unsigned result = load_scenario();
    if (!result)
        result = fault_of(find_function(function), NO_BOARD);
    references += !result;
    return leave(result);
}

NVML nvmlInit(void) { return initialise(__func__); }
NVML nvmlInit_v2(void) { return initialise(__func__); }
NVML nvmlInitWithFlags(unsigned flags) { (void)flags; return initialise(__func__); }

NVML nvmlShutdown(void)
{
    ENTER(NULL, NO_DEVICE, true);
    references--;
    return leave(SUCCESS);
}

const char *nvmlErrorString(unsigned error)
{
    static const char *const names[] = {
        [SUCCESS] = "Success", [UNINITIALIZED] = "Uninitialized", [NOT_FOUND] = "Not Found",
        [INVALID_ARGUMENT] = "Invalid Argument", [NOT_SUPPORTED] = "Not Supported",
        [INSUFFICIENT_SIZE] = "Insufficient Size", [DRIVER_NOT_LOADED] = "Driver Not Loaded",
        [GPU_IS_LOST] = "GPU is lost",
    };
    lock();
    calls[find_function(__func__)]++;
    unlock();
    return error <= GPU_IS_LOST && names[error] ? names[error] : "Unknown Error";
}

TEXT_GETTER(nvmlSystemGetDriverVersion, driver_version, NULL, NO_DEVICE)
TEXT_GETTER(nvmlSystemGetNVMLVersion, nvml_version, NULL, NO_DEVICE)
TEXT_GETTER(nvmlDeviceGetUUID, device->uuid, device, BOARD_OR_MIG, nvmlDevice_t device,)
TEXT_GETTER(nvmlDeviceGetName, device->name, device, BOARD_OR_MIG, nvmlDevice_t device,)

NVML nvmlDeviceGetCount_v2(unsigned *out)
{
    ENTER(NULL, NO_DEVICE, out != NULL);
    *out = (unsigned)board_count;
    return leave(SUCCESS);
}

/* What is looked up is entered as the device, so that its board's faults apply to it. (It is looked
 * up unlocked: once the scenario is loaded, the identities of boards no longer change.) */
NVML nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *out)
{
    nvmlDevice_t found = index < (unsigned)board_count ? &boards[index].whole : NULL;
    ENTER(found, BOARD, out != NULL);
    *out = found;
    return leave(SUCCESS);
}

NVML nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *out)
{
    nvmlDevice_t found = uuid ? find_uuid(uuid) : NULL;
    unsigned result = enter(__func__, found, BOARD_OR_MIG, out != NULL);
    if (result)
        return result == INVALID_ARGUMENT && uuid && out && !found ? NOT_FOUND : result;
    *out = found;
    return leave(SUCCESS);
}

NVML nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned index, nvmlDevice_t *out)
{
    ENTER(device, BOARD, out != NULL);
    if (device->board->mig_mode == MIG_UNSUPPORTED)
        return leave(NOT_SUPPORTED);
    if (index >= (unsigned)device->board->mig_count)
        return leave(index < MAX_MIG ? NOT_FOUND : INVALID_ARGUMENT);
    *out = &device->board->migs[index];
    return leave(SUCCESS);
}

/* One sensor (0, the board's) and one clock (1, that of its multiprocessors). */
NVML nvmlDeviceGetTemperature(nvmlDevice_t device, unsigned sensor, unsigned *out)
{
    ENTER(device, BOARD, out != NULL && sensor == 0);
    *out = (unsigned)device->board->celsius;
    return leave(SUCCESS);
}

NVML nvmlDeviceGetClockInfo(nvmlDevice_t device, unsigned clock, unsigned *out)
{
    ENTER(device, BOARD, out != NULL && clock == 1);
    *out = (unsigned)device->board->sm_mhz;
    return leave(SUCCESS);
}

GETTER(nvmlDeviceGetCurrentClocksThrottleReasons, BOARD, unsigned long long, SUCCESS,
       (unsigned long long)device->board->throttled)
GETTER(nvmlDeviceGetIndex, BOARD_OR_MIG, unsigned, SUCCESS,
       device->mig < 0 ? (unsigned)(device->board - boards) : (unsigned)device->mig)
GETTER(nvmlDeviceGetArchitecture, BOARD_OR_MIG, unsigned, SUCCESS, device->board->arch)
GETTER(nvmlDeviceGetTotalEnergyConsumption, BOARD_READING, unsigned long long,
       device->board->counter == NO ? NOT_SUPPORTED : SUCCESS, counter_mj(device->board, now_ms()))
GETTER(nvmlDeviceGetPowerUsage, BOARD_READING, unsigned, SUCCESS,
       power_mw(device->board, now_ms(), device->board->average_ms))
GETTER(nvmlDeviceGetEnforcedPowerLimit, BOARD, unsigned, SUCCESS,
       (unsigned)lround(device->board->limit_w * 1e3))
GETTER(nvmlDeviceGetPowerManagementLimit, BOARD, unsigned, SUCCESS,
       (unsigned)lround(device->board->limit_w * 1e3))
GETTER(nvmlDeviceGetMaxMigDeviceCount, BOARD, unsigned, SUCCESS,
       device->board->mig_mode == MIG_ENABLED ? MAX_MIG : 0)
GETTER(nvmlDeviceGetDeviceHandleFromMigDeviceHandle, BOARD_OR_MIG, nvmlDevice_t,
       device->mig < 0 ? INVALID_ARGUMENT : SUCCESS, &device->board->whole)
GETTER(nvmlDeviceGetAttributes_v2, BOARD_OR_MIG, struct attributes,
       device->mig < 0 ? NOT_SUPPORTED : SUCCESS,
       ((struct attributes){ .multiprocessors = 14 * device->slices,
                             .gpu_instance_slices = device->slices,
                             .compute_instance_slices = device->slices,
                             .memory_mb = 4864ull * device->slices }))

NVML nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending)
{
    ENTER(device, BOARD, current && pending);
    if (device->board->mig_mode == MIG_UNSUPPORTED)
        return leave(NOT_SUPPORTED);
    *current = *pending = device->board->mig_mode == MIG_ENABLED;
    return leave(SUCCESS);
}

NVML nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, struct field_value *values)
{
    ENTER(device, BOARD_READING, values && count > 0);
    const struct board *b = device->board;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    for (struct field_value *v = values; v < values + count; v++) {
        bool known = v->field == FIELD_POWER_INSTANT && v->scope == SCOPE_GPU && b->instant == YES;
        v->timestamp_us = (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000;
        v->latency_us = (int64_t)b->latency_us;
        v->value_type = VALUE_UNSIGNED_INT;
        v->result = known ? SUCCESS : NOT_SUPPORTED;
        v->value = known ? power_mw(b, now_ms(), 0) : 0;
    }
    return leave(SUCCESS);
}

static void list_process(struct board *b, double pid, bool listed)
{
    int n = 0;
    for (int i = 0; i < b->process_count; i++)
        if (b->processes[i].pid != pid)
            b->processes[n++] = b->processes[i];
    if (listed && n < MAX_PROCESSES)
        b->processes[n++] = (struct process){ .pid = pid, .type = COMPUTE, .mig = -1 };
    b->process_count = n;
}

static unsigned list_processes(const char *function, nvmlDevice_t device, unsigned *count,
                               struct process_info *out, int type)
{
    unsigned result = enter(function, device, BOARD_OR_MIG, count != NULL), found = 0;
    if (result)
        return result;
    const struct board *b = device->board;
    if (b->procs == NO)
        return leave(NOT_SUPPORTED);
    for (const struct process *p = b->processes; p < b->processes + b->process_count; p++) {
        if (p->type != type || (device->mig >= 0 && device->mig != p->mig))
            continue;
        if (out && found < *count)
            out[found] = (struct process_info){
                .pid = p->pid == SELF ? (unsigned)getpid() : (unsigned)p->pid,
                .used_memory = 256 << 20,
                .gpu_instance = p->mig < 0 ? NO_INSTANCE : (unsigned)p->mig + 1,
                .compute_instance = p->mig < 0 ? NO_INSTANCE : 0,
            };
        found++;
    }
    result = found > (out ? *count : 0) ? INSUFFICIENT_SIZE : SUCCESS;
    *count = found;
    return leave(result);
}

#define PROCESS_LIST(function, type)                                                               \
    NVML function(nvmlDevice_t device, unsigned *count, struct process_info *out)                  \
    {                                                                                              \
        return list_processes(__func__, device, count, out, type);                                 \
    }
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v3, COMPUTE)
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, GRAPHICS)

/* ---- Control functions, called from tests --------------------------------------------------- */

/* A test that controls what does not exist would pass for the wrong reason: stop it. */
static void demand(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fake_nvml: a control function was called for %s\n", what);
        abort();
    }
}

static struct board *control(unsigned gpu)
{
    lock();
    demand(load_scenario() == SUCCESS && gpu < (unsigned)board_count, "no such board");
    take_events();
    return &boards[gpu];
}

void fake_nvml_set_watts(unsigned gpu, double watts)
{
    struct board *b = control(gpu);
    if (!tell_others((struct event){ .gpu = gpu, .watts = watts }))
        change_target(b, now_ms(), watts);
    unlock();
}

/* From now on the driver lists this process as computing on the board, or no longer. */
void fake_nvml_list_process(unsigned gpu, unsigned pid, int listed)
{
    struct board *b = control(gpu);
    if (!tell_others((struct event){ .gpu = gpu, .pid = pid, .kind = listed ? 1 : 2 }))
        list_process(b, pid, listed);
    unlock();
}

double fake_nvml_true_joules(unsigned gpu)
{
    struct board *b = control(gpu);
    double mj = true_mj(b, now_ms());
    unlock();
    return mj / 1e3;
}

void fake_nvml_reset_counter(unsigned gpu)
{
    struct board *b = control(gpu);
    b->start_mj = b->frozen_mj = 0;
    b->zero_mj = true_mj(b, now_ms());
    unlock();
}

void fake_nvml_freeze_counter(unsigned gpu)
{
    struct board *b = control(gpu);
    b->frozen_mj = counter_mj(b, now_ms());
    b->counter = b->counter == NO ? NO : FROZEN;
    unlock();
}

void fake_nvml_halt_counter(unsigned gpu, double seconds)
{
    struct board *b = control(gpu);
    b->frozen_mj = counter_mj(b, now_ms());
    b->counter = b->counter == NO ? NO : FROZEN;
    b->thaw_ms = now_ms() + 1e3 * seconds;
    unlock();
}

void fake_nvml_add_joules(unsigned gpu, double joules)
{
    struct board *b = control(gpu);
    b->start_mj += (uint64_t)(1e3 * joules);
    unlock();
}

/* What power readings show instead of the truth; 0 for the truth. */
void fake_nvml_set_false_watts(unsigned gpu, double watts)
{
    struct board *b = control(gpu);
    b->false_w = watts;
    unlock();
}

/* gpu -1 is every board; error 0 clears the fault, a scripted one too. */
void fake_nvml_fault(unsigned gpu, const char *function, int error)
{
    struct fault fault = { (unsigned)error, 0, INFINITY };
    control((int)gpu == EVERY_BOARD ? 0 : gpu);
    demand(set_fault(function, (int)gpu, fault), function);
    unlock();
}

unsigned long long fake_nvml_calls(const char *function)
{
    int f = find_function(function);
    demand(f >= 0, function);
    lock();
    unsigned long long count = calls[f];
    unlock();
    return count;
}
