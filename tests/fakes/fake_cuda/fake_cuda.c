/* A stand-in for libcuda.so.1: the few functions that waiting for a device takes, and its UUID.

   FAKE_CUDA_ACTIVE: device ordinals with a context, such as "1" or "0,2"; three devices in all.
   FAKE_CUDA_BOARDS: for each ordinal the number of the board of fake_nvml, "012" if it isn't set.
   FAKE_CUDA_LOG: a file to which each call that could do harm is appended. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NOT_INITIALIZED = 3, INVALID_CONTEXT = 201, DEVICES = 3 };

static int current = -1;

static void told(const char *what, int device) {
    const char *path = getenv("FAKE_CUDA_LOG");
    if (path == NULL) return;
    FILE *file = fopen(path, "a");
    if (file == NULL) abort();
    fprintf(file, "%s %d\n", what, device);
    fclose(file);
}

static int is_active(int device) {
    const char *active = getenv("FAKE_CUDA_ACTIVE");
    return active != NULL && strchr(active, '0' + device) != NULL;
}

int cuDeviceGetCount(int *count) {
    if (getenv("FAKE_CUDA_ACTIVE") == NULL) return NOT_INITIALIZED;
    *count = DEVICES;
    return SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return SUCCESS;
}

/* As fake_nvml makes them up: GPU-fa4e0000-0000-0000-0000-00000000000N. */
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    const char *boards = getenv("FAKE_CUDA_BOARDS");
    memset(uuid, 0, 16);
    uuid[0] = 0xfa;
    uuid[1] = 0x4e;
    uuid[15] = (unsigned char)((boards ? boards : "012")[device] - '0');
    return SUCCESS;
}

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    *flags = 0;
    *active = is_active(device);
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    told("retain", device);
    *context = (void *)(size_t)(0x100000000 + device); /* more than an int holds */
    return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    told("release", device);
    return SUCCESS;
}

int cuCtxPushCurrent_v2(void *context) {
    current = (int)((size_t)context - 0x100000000);
    return current >= 0 && current < DEVICES ? SUCCESS : INVALID_CONTEXT;
}

int cuCtxSynchronize(void) {
    told("synchronise", current);
    return SUCCESS;
}

int cuCtxPopCurrent_v2(void **context) {
    *context = (void *)(size_t)(0x100000000 + current);
    current = -1;
    return SUCCESS;
}
