"""Works for a GPU whose power changes within a window; each takes its seconds."""

import time

import torch

A = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
B = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
S = torch.randn(1 << 28, device="cuda")
now = time.monotonic


def matmul(s):
    end = now() + s
    while now() < end:
        for _ in range(4):
            torch.matmul(A, B)
        torch.cuda.synchronize()


def copy(s):
    end = now() + s
    while now() < end:
        S.mul_(1.0)
        torch.cuda.synchronize()


def rest(s):
    time.sleep(s)


def duty(s, part):
    end = now() + s
    while now() < end:
        matmul(0.01 * part)
        rest(0.01 * (1 - part))


def constant(seconds):
    matmul(seconds)


def memory(seconds):
    copy(seconds)


def square(seconds):
    for _ in range(5):
        matmul(seconds / 10)
        rest(seconds / 10)


def burst_at_end(seconds):
    rest(0.8 * seconds)
    matmul(0.2 * seconds)


def burst_at_start(seconds):
    matmul(0.2 * seconds)
    rest(0.8 * seconds)


def preparation(seconds):
    rest(0.67 * seconds)
    matmul(0.33 * seconds)


def ramp(seconds):
    for i in range(10):
        duty(seconds / 10, (i + 1) / 10)


def prefill_decode(seconds):
    matmul(0.3 * seconds)
    copy(0.7 * seconds)


def decode_prefill(seconds):
    copy(0.7 * seconds)
    matmul(0.3 * seconds)


LOADS = [
    constant,
    memory,
    square,
    burst_at_end,
    burst_at_start,
    preparation,
    ramp,
    prefill_decode,
    decode_prefill,
]
