"""Baselines: the hardware and the key that two sessions must share, and the line of a session."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_records import (
    A100,
    ESTIMATE,
    H100,
    JOULES,
    ON_CPU,
    SHAPE,
    channels,
    measured,
    rounds,
    session,
    stored,
)

from pytest_energy.baselines.baseline import difference, key_of, line_of
from pytest_energy.record.hardware import file_name, hardware_of
from pytest_energy.record.schema import (
    ChannelRecord,
    Explanation,
    GpuRecord,
    GpuStateRecord,
    MachineRecord,
)

EPYC = MachineRecord(
    os="Linux", architecture="x86_64", cpu="AMD EPYC 7763 64-Core Processor", cpu_count=2
)


RAPL = ChannelRecord(
    name="cpu:package-0",
    kind="cpu",
    source="RAPL package-0",
    provenance="measured",
    gated=True,
    joules_per_unit=1.0,
)


# -- the hardware -------------------------------------------------------------------------------

MIG = replace(A100, name="NVIDIA A100", mig="7g.80gb")


@pytest.mark.parametrize(
    ("gated", "machine", "words", "file"),
    [
        (
            channels(0),
            replace(EPYC, gpus=(H100,)),
            "NVIDIA H100 x1 @ 700 W",
            "nvidia-h100-x1-700w.jsonl",
        ),
        (
            channels(1),
            replace(EPYC, gpus=(A100, replace(H100, channel="gpu:1"))),
            "NVIDIA H100 x1 @ 700 W",
            "nvidia-h100-x1-700w.jsonl",
        ),
        (
            channels(0, 1),
            replace(EPYC, gpus=(A100, replace(A100, channel="gpu:1", uuid="GPU-3"))),
            "NVIDIA A100 x2 @ 400 W",
            "nvidia-a100-x2-400w.jsonl",
        ),
        (
            channels(0, 1),
            replace(EPYC, gpus=(H100, replace(A100, channel="gpu:1"))),
            "NVIDIA A100 x1 @ 400 W + NVIDIA H100 x1 @ 700 W",
            "nvidia-a100-x1-400w-nvidia-h100-x1-700w.jsonl",
        ),
        (
            channels(0),
            replace(EPYC, gpus=(MIG,)),
            "NVIDIA A100 x1 @ 400 W, MIG 7g.80gb",
            "nvidia-a100-x1-400w-mig-7g-80gb.jsonl",
        ),
        (
            channels(0),
            replace(EPYC, gpus=(replace(A100, power_limit_watts=None),)),
            "NVIDIA A100 x1",
            "nvidia-a100-x1.jsonl",
        ),
        (
            (ESTIMATE,),
            replace(EPYC, gpus=(A100,)),
            "AMD EPYC 7763 64-Core Processor, 2 cores",
            "amd-epyc-7763-64-core-processor-2-cores.jsonl",
        ),
        (
            (*channels(0), RAPL),
            replace(EPYC, gpus=(A100,)),
            "NVIDIA A100 x1 @ 400 W + AMD EPYC 7763 64-Core Processor, 2 cores",
            "nvidia-a100-x1-400w-amd-epyc-7763-64-core-processor-2-cores.jsonl",
        ),
        (
            channels(0),
            replace(EPYC, cpu="Apple M2 Pro"),
            "Apple M2 Pro GPU x1",
            "apple-m2-pro-gpu-x1.jsonl",
        ),
        ((ESTIMATE,), replace(EPYC, cpu="---", cpu_count=0), "---, 0 cores", "0-cores.jsonl"),
    ],
)
def test_hardware_is_described_in_words_and_as_a_file_name(
    gated: tuple[ChannelRecord, ...], machine: MachineRecord, words: str, file: str
) -> None:
    found = hardware_of(measured(channels=gated), machine)
    assert (found, file_name(found)) == (words, file)


def test_a_board_that_is_not_gated_is_not_part_of_the_hardware() -> None:
    (board,) = channels(0)
    test = measured(channels=(ESTIMATE, replace(board, gated=False)))
    assert hardware_of(test, replace(EPYC, gpus=(A100,))) == f"{EPYC.cpu}, 2 cores"


def test_boards_of_older_records_are_identified_by_their_place() -> None:
    old = [replace(each, channel="") for each in (A100, H100)]
    found = hardware_of(measured(channels=channels(1)), replace(EPYC, gpus=tuple(old)))
    assert found == "NVIDIA H100 x1 @ 700 W"


@given(st.text())
def test_any_hardware_is_a_file_name(hardware: str) -> None:
    name = file_name(hardware)
    assert name.endswith(".jsonl") and len(name) < 130
    assert not set(name) & set("/\\: \0")
    assert not name.startswith((".", "-"))


# -- the key ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "gpus", "words"),
    [
        (
            {},
            (H100,),
            "stored on NVIDIA A100 x1 @ 400 W; this is NVIDIA H100 x1 @ 700 W",
        ),
        (
            {},
            (replace(A100, power_limit_watts=300.0),),
            "stored on NVIDIA A100 x1 @ 400 W; this is NVIDIA A100 x1 @ 300 W",
        ),
        (
            {},
            (MIG,),
            "stored on NVIDIA A100 x1 @ 400 W; this is NVIDIA A100 x1 @ 400 W, MIG 7g.80gb",
        ),
        ({"method": "integrated"}, (A100,), "stored as measured; this is integrated"),
        ({"unit": "token"}, (A100,), "stored as per query; this is per token"),
        ({"scope": "all"}, (A100,), "stored as scope gpu; this is scope all"),
        (
            {"labels": {"dtype": "fp8"}},
            (A100,),
            'stored as labels {"dtype": "bf16"}; this is labels {"dtype": "fp8"}',
        ),
        (
            {"labels": {}},
            (A100,),
            'stored as labels {"dtype": "bf16"}; this is without labels',
        ),
        (
            {"method": "integrated"},
            (H100,),
            "stored on NVIDIA A100 x1 @ 400 W, measured; "
            "this is NVIDIA H100 x1 @ 700 W, integrated",
        ),
    ],
)
def test_each_part_of_the_key_that_differs_is_named(
    changes: dict[str, Any], gpus: tuple[GpuRecord, ...], words: str
) -> None:
    here = session(measured(**changes), gpus=gpus)
    key = key_of(here.tests[0], here.machine)
    before = stored(session())
    nearest = before.nearest(key)
    assert nearest is not None
    assert difference(nearest, key) == words
    assert before.sessions(key) == ()


def test_the_watts_of_an_estimate_are_a_part_of_the_key() -> None:
    six = replace(ESTIMATE, source="CPU time of the process tree x 6 W a core")
    one, other = (measured(**{**ON_CPU, "channels": (each,)}) for each in (ESTIMATE, six))
    keys = [key_of(each, EPYC) for each in (one, other)]
    assert difference(*keys) == "stored as 4 W a core; this is 6 W a core"
    counted = [key_of(replace(each, method="cpu-time"), EPYC) for each in (one, other)]
    assert counted[0] == counted[1]
    assert difference(keys[0], counted[0]) == "stored as estimated, 4 W a core; this is cpu-time"


def test_processes_of_a_server_are_not_part_of_the_key() -> None:
    source = "CPU time of the process tree and of process {} x 4 W a core"
    one, other = (
        measured(**{**ON_CPU, "channels": (replace(ESTIMATE, source=source.format(pid)),)})
        for pid in (4711, 4712)
    )
    assert key_of(one, EPYC) == key_of(other, EPYC)


@pytest.mark.parametrize(
    "same",
    [
        {"model": "another"},
        {"task": "another"},
        {"attempt": 7},
        {"labels": {"dtype": "bf16"}},
        {"rounds": rounds(99.0)},
    ],
    ids=str,
)
def test_the_name_and_result_of_a_test_are_not_part_of_the_key(same: dict[str, Any]) -> None:
    here = session(measured(**same), gpus=(replace(A100, uuid="GPU-9"),), day=2, commit="ffff")
    assert len(stored(session()).sessions(key_of(here.tests[0], here.machine))) == 1


def test_labels_are_the_same_in_any_order_and_true_is_not_one() -> None:
    def key(**labels: Any) -> object:
        return key_of(measured(labels=labels), EPYC)

    assert key(a=1, b=2) == key(b=2, a=1)
    assert key(a=1) != key(a=True)


def test_the_nearest_key_differs_in_the_least_then_is_the_newest() -> None:
    key = key_of(measured(), session().machine)
    far = session(measured(unit="token", scope="all"), day=3)
    near = session(measured(unit="token"), day=1)
    nearest = stored(far, near).nearest(key)
    assert nearest is not None and nearest.scope == "gpu"
    newest = stored(session(measured(unit="call"), day=2), near).nearest(key)
    assert newest is not None and newest.unit == "call"
    assert stored(session(measured(id="other"))).nearest(key) is None
    assert stored(session(measured(name="other"))).nearest(key) is None


# -- a session as a line ------------------------------------------------------------------------


def test_a_line_holds_the_first_five_rounds_and_what_they_were_measured_with() -> None:
    state = GpuStateRecord(channel="gpu:0", celsius=61, megahertz=1410, power_limit_watts=400.0)
    explained = Explanation(
        seconds=5.5, units={}, units_per_second=1.0, mean_watts=1.0, gpus_after=(state,)
    )
    test = measured(shape=(*SHAPE, 9.0, 9.0, 9.0), explanation=explained)
    line = line_of(test, session(test, day=22))
    values = [JOULES * each for each in SHAPE]
    assert line.rounds == pytest.approx(values)
    assert line.centre == pytest.approx(math.exp(fmean(math.log(each) for each in values)))
    assert 0 < line.variance < 1e-4
    assert line.n == 8
    assert line.window == pytest.approx(1.1)
    assert (line.celsius, line.gpus, line.commit) == ((61,), ("GPU-1",), "1f2e3d4c5b")
    assert (line.start, line.run) == ("2026-11-22T06:00:00+00:00", "run-22")
    assert line.versions == {"python": "3.12", "driver": "570.11"}
    assert (line.labels, line.hardware) == ({"dtype": "bf16"}, "NVIDIA A100 x1 @ 400 W")


def test_cpu_time_is_compared_where_it_is_what_counts() -> None:
    test = measured(**{**ON_CPU, "method": "cpu-time"})
    assert line_of(test, session(test)).centre == pytest.approx(0.02)
