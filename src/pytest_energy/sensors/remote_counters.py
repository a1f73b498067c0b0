"""Which lines of a page of metrics are energy counters, and of what; pure.

An exporter may list one board several times (once for each pod, or each MIG slice), and two
exporters may list the same board. A counter is counted once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pytest_energy.sensors.accelerators import plain_uuid
from pytest_energy.sensors.base import Kind, SensorFault
from pytest_energy.sensors.remote_metrics import KNOWN, Endpoint, RemoteMetric, Sample, is_loopback

#: Seconds since 1970 when the machine was started, as node_exporter lists it.
BOOT_TIME = "node_boot_time_seconds"
#: Labels that hold a board's UUID, and its model.
_UUID = ("UUID", "gpu_uuid", "uuid")
_MODEL = ("modelName", "model_name", "gpu_name")
#: The machine that Prometheus has scraped.
_INSTANCE = "instance"
#: By which the boot time of one machine may differ.
BOOT_SECONDS = 2.0
THIS = "this machine"
OWN = "this machine's own counters count the same"
NAME_IT = ", name that with --energy-gpus"


@dataclass(frozen=True, kw_only=True)
class Counter:
    """One counter of a page.

    labels: those by which it is found again, whatever becomes of the others. hardware: what it
    counts, in words; "" for a part of this machine. uuid: of the board, or "".
    """

    channel: str
    metric: RemoteMetric
    labels: tuple[tuple[str, str], ...]
    hardware: str
    uuid: str = ""

    def joules(self, samples: Sequence[Sample]) -> float:
        """What the page shows for it. Raises SensorFault."""
        mine = [
            each
            for each in samples
            if self.metric.is_shown_by(each) and dict(self.labels).items() <= each.labels.items()
        ]
        values = {each.value for each in mine}
        if not values:
            raise SensorFault(
                f"the page no longer lists {self.metric.metric} with the labels that it had, so "
                "the exporter was restarted or set up anew; run the test again",
                "series-gone",
            )
        if len(values) > 1:
            raise SensorFault(
                f"the page lists {self.metric.metric} {len(mine)} times with different values; "
                "name one by its labels in a [[remote]] table of the budgets file",
                "series-unclear",
            )
        (value,) = values
        if not (math.isfinite(value) and value >= 0):
            raise SensorFault(
                f"{self.metric.metric} shows {value}; expected a number from 0 up", "bad-answer"
            )
        return value * self.metric.unit.joules


@dataclass
class Taken:
    """What is counted already: boards by UUID, and parts of machines with who counts them.

    parts: the alias and the metric; two empty texts for this machine's own instruments.
    """

    boards: dict[str, str] = field(default_factory=dict)
    parts: dict[tuple[Kind, str], tuple[str, str]] = field(default_factory=dict)

    def why_not(self, counter: Counter, machine: str, alias: str) -> str:
        """Why a counter is not counted again; "" takes it."""
        if counter.uuid and (owner := self.boards.get(counter.uuid)):
            return f"{owner} counts the same board{NAME_IT if owner.startswith('gpu:') else ''}"
        kind, me = counter.metric.kind, (alias, counter.metric.metric)
        if counter.uuid:
            self.boards[counter.uuid] = counter.channel
            self.parts.setdefault((kind, machine), me)
            return ""
        if kind is Kind.MACHINE or self.parts.setdefault((kind, machine), me) == me:
            return ""
        other, metric = self.parts[kind, machine]
        return f"{metric} of {other} counts the same" if other else OWN


def find_counters(
    endpoint: Endpoint,
    samples: Sequence[Sample],
    chosen: Sequence[RemoteMetric],
    taken: Taken,
    booted: float | None,
    left_out: dict[str, str],
) -> list[Counter]:
    """The counters of a page. chosen: what the user names for it, in place of what is known.

    booted: when this machine was, in seconds since 1970. left_out: is given why a counter is not
    counted.
    """
    boots = {each.labels.get(_INSTANCE, ""): each.value for each in samples if _is_boot(each)}
    found: list[Counter] = []
    for metric in chosen or KNOWN:
        mine = [each for each in samples if metric.is_shown_by(each)]
        for labels, sample in _told_apart(metric, mine):
            boot = boots.get(sample.labels.get(_INSTANCE, ""))
            machine = _machine(endpoint, sample, metric.kind, boot, booted)
            number = sum(each.metric.kind is metric.kind for each in found)
            what = _first(sample, _MODEL) or f"{metric.kind} of {endpoint.alias}"
            counter = Counter(
                channel=f"{endpoint.alias}:{metric.kind}-{number}",
                metric=metric,
                labels=labels,
                hardware="" if machine == THIS else what,
                uuid=plain_uuid(_first(sample, _UUID)),
            )
            if why := taken.why_not(counter, machine, endpoint.alias):
                left_out[f"{metric.metric} of {endpoint.alias}"] = why
            else:
                found.append(counter)
    return found


def _told_apart(
    metric: RemoteMetric, samples: Sequence[Sample]
) -> Iterator[tuple[tuple[tuple[str, str], ...], Sample]]:
    """Lines of a metric as counters: the labels that tell each, and its first line."""
    seen = set()
    for each in samples:
        uuids = {name: each.labels[name] for name in _UUID if each.labels.get(name)}
        # A user's labels that only one line has are enough, also when its others change.
        is_clear = bool(metric.labels) and len(samples) == 1
        labels = uuids or ({} if is_clear else each.labels)
        key = tuple(sorted(labels.items()))
        if key not in seen:
            seen.add(key)
            yield key, each


def _machine(
    endpoint: Endpoint, sample: Sample, kind: Kind, boot: float | None, booted: float | None
) -> str:
    """Whose energy a line is, as far as it can be told: two exporters of one machine agree."""
    url = endpoint.url
    host, place = url.hostname or "", url.netloc.rpartition("@")[2]
    instance = sample.labels.get(_INSTANCE, "")
    if instance and not is_loopback(instance_host := urlsplit(f"//{instance}").hostname or ""):
        host = place = instance_host
    if kind in (Kind.CPU, Kind.DRAM):
        is_known = boot is not None and booted is not None
        same = abs((boot or 0.0) - (booted or 0.0)) < BOOT_SECONDS if is_known else None
        if is_loopback(host) if same is None else same:
            return THIS
    # A forwarded port of this machine leads to another one.
    return place if is_loopback(host) else host


def _is_boot(sample: Sample) -> bool:
    return sample.metric == BOOT_TIME


def _first(sample: Sample, names: Sequence[str]) -> str:
    return next((sample.labels[name] for name in names if sample.labels.get(name)), "")
