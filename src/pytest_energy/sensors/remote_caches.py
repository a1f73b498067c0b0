"""Prefix caches of servers: what a server's own page says of prompts that it had seen before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_energy.sensors.base import Probe
from pytest_energy.sensors.remote_metrics import Sample

#: vLLM's counters, in tokens: hits and queries, as they are called now and were before.
METRICS = (
    ("vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total"),
    ("vllm:gpu_prefix_cache_hits_total", "vllm:gpu_prefix_cache_queries_total"),
)
NAMES = frozenset(name for pair in METRICS for name in pair)


@dataclass(frozen=True)
class CacheCounts:
    """Tokens that were looked up so far, and those that were found."""

    hits: float
    queries: float

    def since(self, before: CacheCounts) -> CacheCounts:
        return CacheCounts(self.hits - before.hits, self.queries - before.queries)


@dataclass(frozen=True)
class PrefixCache:
    """The cache of the server behind a page; `read` gives None where that does not answer."""

    alias: str
    read: Callable[[], CacheCounts | None]


@dataclass(frozen=True, kw_only=True)
class RemoteProbe(Probe):
    """A page of another machine. cache: what it says of its server's, or None."""

    cache: PrefixCache | None = None


def counts_of(samples: Sequence[Sample]) -> CacheCounts | None:
    """Summed over all engines and models; None for a page without such counters."""
    for hits, queries in METRICS:
        looked_up = [each.value for each in samples if each.metric == queries]
        if looked_up:
            found = (each.value for each in samples if each.metric == hits)
            return CacheCounts(sum(found), sum(looked_up))
    return None
