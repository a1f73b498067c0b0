"""What a user may name of other machines: pages of metrics, and counters on them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit

from pytest_energy.errors import InputError
from pytest_energy.sensors.base import Kind

EXAMPLE = "box=http://192.0.2.7:9400/metrics"
#: What channels of this machine begin with.
_TAKEN = ("gpu", "cpu", "dram", "ane", "machine")
_NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,39})=(.*)", re.DOTALL)
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")


@dataclass(frozen=True)
class Endpoint:
    """Where a page of metrics is, and what outputs call it."""

    alias: str
    _url: str = field(repr=False)

    @property
    def url(self) -> SplitResult:
        return urlsplit(self._url)


def endpoints(words: Iterable[str]) -> tuple[Endpoint, ...]:
    """What a user wrote: addresses, each with its alias or without.

    Raises InputError, which does not show the address.
    """
    found: list[Endpoint] = []
    for number, word in enumerate(words, start=1):
        named = _NAMED.fullmatch(word)
        alias, address = named.groups() if named else (f"remote-{number}", word)
        if why := _mistake(alias, address):
            raise InputError(f"address {number}: {why}; for example {EXAMPLE}")
        if alias in [each.alias for each in found]:
            raise InputError(f"address {number}: the alias {alias!r} is taken; choose another one")
        found.append(Endpoint(alias, address))
    return tuple(found)


def is_loopback(host: str) -> bool:
    """Whether this machine answers, for itself or by a forwarded port for another one."""
    return _LOOPBACK.fullmatch(host) is not None


def _mistake(alias: str, address: str) -> str:
    try:
        url = urlsplit(address)
        _ = url.port
        (url.hostname or "").encode("idna")
    except ValueError:  # of the port, or of a host whose labels are empty or too long
        return "it is not a URL"
    if url.scheme not in ("http", "https") or not url.hostname:
        return "it is not a URL that begins with http:// or https://"
    if not address.isascii() or not address.isprintable():
        return "it holds characters that a URL cannot have"
    if alias in _TAKEN:
        return f"the alias {alias!r} is a word for channels of this machine"
    return ""


@dataclass(frozen=True)
class Sample:
    """One line of a page."""

    metric: str
    labels: Mapping[str, str]
    value: float


class Unit(StrEnum):
    """What a counter counts in."""

    JOULE = "J"
    MILLIJOULE = "mJ"
    MICROJOULE = "uJ"
    WATT_HOUR = "Wh"
    KILOWATT_HOUR = "kWh"

    @property
    def joules(self) -> float:
        return {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "Wh": 3600.0, "kWh": 3.6e6}[self.value]


@dataclass(frozen=True, kw_only=True)
class RemoteMetric:
    """A metric that is an energy counter.

    labels: those that a line must have. endpoint: the alias of the page, "" for each.
    """

    metric: str
    kind: Kind
    unit: Unit
    labels: Mapping[str, str] = field(default_factory=dict)
    endpoint: str = ""

    def is_shown_by(self, sample: Sample) -> bool:
        return sample.metric == self.metric and self.labels.items() <= sample.labels.items()


#: Hardware counters of known exporters. Where two count the same, the first one is taken.
KNOWN = (
    RemoteMetric(  # DCGM exporter
        metric="DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", kind=Kind.GPU, unit=Unit.MILLIJOULE
    ),
    # Triton, and TensorRT-LLM behind it
    RemoteMetric(metric="nv_energy_consumption", kind=Kind.GPU, unit=Unit.JOULE),
    # NVIDIA NIM
    RemoteMetric(metric="gpu_total_energy_consumption_joules", kind=Kind.GPU, unit=Unit.JOULE),
    # node_exporter
    RemoteMetric(metric="node_rapl_package_joules_total", kind=Kind.CPU, unit=Unit.JOULE),
    RemoteMetric(metric="node_rapl_dram_joules_total", kind=Kind.DRAM, unit=Unit.JOULE),
    # Kepler from 0.10 on; before, its figures may come from a model
    RemoteMetric(
        metric="kepler_node_cpu_joules_total",
        kind=Kind.CPU,
        unit=Unit.JOULE,
        labels={"zone": "package"},
    ),
    RemoteMetric(
        metric="kepler_node_cpu_joules_total",
        kind=Kind.DRAM,
        unit=Unit.JOULE,
        labels={"zone": "dram"},
    ),
)


def known(metric: str) -> RemoteMetric | None:
    """What is known of a metric that a user names."""
    return next((each for each in KNOWN if each.metric == metric), None)
