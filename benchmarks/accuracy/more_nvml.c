/*
 * What CodeCarbon asks of NVML beyond what the fake library has; compiled into one library with it.
 * The answers are constants, and cost no time. They are weak: what the fake library has goes first.
 */
#define NVML __attribute__((weak)) unsigned /* nvmlReturn_t; 0 is success */

NVML nvmlDeviceGetMemoryInfo(void *device, unsigned long long total_free_used[3])
{
    (void)device;
    total_free_used[0] = 80ull << 30;
    total_free_used[1] = 79ull << 30;
    total_free_used[2] = 1ull << 30;
    return 0;
}

NVML nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *celsius)
{
    (void)device, (void)sensor;
    *celsius = 50;
    return 0;
}

NVML nvmlDeviceGetUtilizationRates(void *device, unsigned gpu_memory[2])
{
    (void)device;
    gpu_memory[0] = 100;
    gpu_memory[1] = 50;
    return 0;
}

NVML nvmlDeviceGetComputeMode(void *device, unsigned *mode)
{
    (void)device;
    *mode = 0;
    return 0;
}
