"""Which GPUs are in use, and what a limit covers."""

from __future__ import annotations

import pytest
from channels import CPU_TIME, PACKAGE

from pytest_energy.limits.budget import Budget, Scope
from pytest_energy.limits.limit import parse_limit
from pytest_energy.measurement.coverage import (
    Coverage,
    GpuFacts,
    GpusInUse,
    Offer,
    cover,
    gpus_in_use,
)
from pytest_energy.sensors.accelerators import DeviceUse
from pytest_energy.sensors.base import Channel, Kind, Provenance
from pytest_energy.sensors.gpu_choice import Allotted, Board, MigDevice

A, B = Allotted(Board(0, "GPU-AAAA")), Allotted(Board(1, "GPU-bbbb"))
NOTHING_HELD = DeviceUse()
OURS = frozenset({100, 101})


def facts(
    mode: str = "auto",
    allotted: tuple[Allotted, ...] = (A, B),
    listed: tuple[Allotted, ...] = (),
    held: DeviceUse = NOTHING_HELD,
    ids: dict[int, frozenset[int] | None] | None = None,
    ids_match: bool = True,
) -> GpuFacts:
    empty: dict[int, frozenset[int] | None] = {0: frozenset(), 1: frozenset()}
    return GpuFacts(
        mode=mode,
        allotted=allotted,
        listed=listed,
        held=held,
        process_ids=empty if ids is None else ids,
        our_process_ids=OURS,
        ids_match=ids_match,
    )


def used(found: GpusInUse) -> list[int]:
    return [each.board.index for each in found.devices]


def test_none_and_all_are_taken_at_their_word() -> None:
    assert used(gpus_in_use(facts("none", ids={0: OURS}))) == []
    assert used(gpus_in_use(facts("all"))) == [0, 1]


def test_auto_is_the_union_of_torch_processes_and_list() -> None:
    held = DeviceUse(frozenset({"aaaa"}))
    assert used(gpus_in_use(facts(held=held))) == [0]
    assert used(gpus_in_use(facts(ids={0: frozenset({7}), 1: frozenset({101})}))) == [1]
    assert used(gpus_in_use(facts(listed=(B,)))) == [1]
    assert used(gpus_in_use(facts(held=held, listed=(B,)))) == [0, 1]


def test_a_trusted_list_without_us_means_no_gpu() -> None:
    found = gpus_in_use(facts(ids={0: frozenset({7}), 1: frozenset()}))
    assert used(found) == []
    assert not found.note


@pytest.mark.parametrize("mode", ["auto", "all"])
def test_a_board_used_though_it_is_not_allotted_is_a_problem(mode: str) -> None:
    ids: dict[int, frozenset[int] | None] = {0: frozenset({7}), 1: frozenset({101})}
    found = gpus_in_use(facts(mode, allotted=(A,), ids=ids))
    assert found.problem == (
        "gpu:1 was used, which CUDA_VISIBLE_DEVICES hides from this process; "
        "name it with --energy-gpus"
    )
    assert used(gpus_in_use(facts(mode, allotted=(A,), listed=(B,), ids=ids))) == (
        [1] if mode == "auto" else [0, 1]
    )
    assert not gpus_in_use(facts(mode, allotted=(A,), listed=(B,), ids=ids)).problem


@pytest.mark.parametrize("untrusted", [{"ids_match": False}, {"ids": {0: None, 1: None}}])
def test_a_list_that_cannot_be_trusted_counts_all_allotted_aloud(
    untrusted: dict[str, bool],
) -> None:
    found = gpus_in_use(facts(**untrusted))  # type: ignore[arg-type]
    assert used(found) == [0, 1]
    assert "all allotted GPUs count (gpu:0, gpu:1)" in found.note


def test_one_other_source_is_enough_where_ids_do_not_match() -> None:
    found = gpus_in_use(facts(ids_match=False, held=DeviceUse(frozenset({"bbbb"}))))
    assert used(found) == [1]
    assert not found.note


def test_a_cuda_device_that_the_driver_does_not_list_is_a_problem() -> None:
    assert "cccc" in gpus_in_use(facts(held=DeviceUse(frozenset({"cccc"})))).problem


@pytest.mark.parametrize("mode", ["auto", "all"])
@pytest.mark.parametrize("uuid", ["cccc", ""])
def test_cuda_without_any_board_of_the_driver_is_a_problem(mode: str, uuid: str) -> None:
    held = DeviceUse(frozenset({uuid}))
    found = gpus_in_use(facts(mode, allotted=(), ids={}, held=held))
    assert "the driver does not list" in found.problem
    assert "the driver does not list" in cover_of(found).problem


def test_torch_without_a_uuid_may_mean_any_allotted_board() -> None:
    assert used(gpus_in_use(facts(held=DeviceUse(frozenset({""}))))) == [0, 1]


def cover_of(in_use: GpusInUse) -> Coverage:
    budget = Budget(limit=parse_limit("1 J / query"))
    return cover(
        budget, in_use, NOTHING_HELD, Offer(channels=(GPU, CPU_TIME)), require_measured=False
    )


def test_no_allotted_board_means_no_gpu() -> None:
    assert used(gpus_in_use(facts(allotted=(), ids={}, ids_match=False))) == []


GPU = Channel(
    name="gpu:0",
    kind=Kind.GPU,
    source="counter",
    provenance=Provenance.MEASURED,
    update_seconds=0.1,
    window_seconds=1.0,
)
POWER = Channel(
    name="gpu:1",
    kind=Kind.GPU,
    source="power",
    provenance=Provenance.INTEGRATED,
    update_seconds=0.1,
    window_seconds=10.0,
)
DRAM = Channel(
    name="dram:0",
    kind=Kind.DRAM,
    source="RAPL",
    provenance=Provenance.MEASURED,
    update_seconds=0.001,
    window_seconds=0.2,
)


def covered(
    limit: str | None = "1 J / query",
    scope: Scope = Scope.AUTO,
    in_use: tuple[Allotted, ...] = (),
    *,
    held: DeviceUse = NOTHING_HELD,
    faults: dict[str, str] | None = None,
    no_gpu: str = "",
    rapl: bool = False,
    require_measured: bool = False,
) -> Coverage:
    budget = Budget(limit=parse_limit(limit) if limit else None, scope=scope)
    return cover(
        budget,
        GpusInUse(devices=in_use, why="nobody uses one"),
        held,
        Offer(
            channels=(GPU, POWER, *((PACKAGE, DRAM) if rapl else ()), CPU_TIME),
            gpu_faults=faults or {},
            no_gpu=no_gpu,
            no_cpu="" if rapl else "RAPL can't be read",
        ),
        require_measured=require_measured,
    )


def test_auto_is_gpu_when_one_is_in_use_else_cpu() -> None:
    on_gpu = covered(in_use=(A,))
    assert (on_gpu.scope, on_gpu.gated, on_gpu.shown) == (Scope.GPU, (GPU,), (CPU_TIME,))
    assert (on_gpu.method, on_gpu.tolerance, on_gpu.window_seconds) == ("measured", 0.03, 1.0)
    on_cpu = covered()
    assert (on_cpu.scope, on_cpu.gated, on_cpu.shown) == (Scope.CPU, (CPU_TIME,), ())
    assert (on_cpu.method, on_cpu.tolerance, on_cpu.window_seconds) == ("estimated", 0.15, 0.2)


def test_the_weakest_evidence_names_the_method() -> None:
    assert covered(in_use=(A, B)).method == "integrated"


def test_a_limit_in_cpu_time_covers_the_cpu_even_beside_a_gpu() -> None:
    found = covered("120 cpu-ms / query", in_use=(A,))
    assert (found.scope, found.method, found.gated) == (Scope.CPU, "cpu-time", (CPU_TIME,))


def test_scope_gpu_without_one_is_a_problem() -> None:
    assert "no GPU in use: nobody uses one" in covered(scope=Scope.GPU).problem
    assert "no driver" in covered(scope=Scope.GPU, no_gpu="no driver").problem


def test_the_counters_of_the_cpu_come_before_its_estimate_and_never_beside_it() -> None:
    found = covered(rapl=True)
    assert (found.gated, found.shown, found.method) == ((PACKAGE, DRAM), (CPU_TIME,), "measured")
    found = covered(rapl=True, in_use=(A,))
    assert (found.gated, found.shown) == ((GPU,), (PACKAGE, DRAM, CPU_TIME))
    found = covered(rapl=True, in_use=(A,), scope=Scope.CPU)
    assert (found.gated, found.shown) == ((PACKAGE, DRAM), (GPU, CPU_TIME))
    found = covered(rapl=True, in_use=(A,), scope=Scope.ALL)
    assert (found.gated, found.method) == ((GPU, PACKAGE, DRAM), "measured")
    found = covered("9 cpu-ms / query", rapl=True)
    assert (found.gated, found.method) == ((CPU_TIME,), "cpu-time")


def test_requiring_a_counter_reports_why_the_cpu_has_none() -> None:
    assert "RAPL can't be read" in covered(require_measured=True).problem
    assert "RAPL can't be read" in covered(scope=Scope.ALL).problem
    assert not covered(require_measured=True, rapl=True).problem
    assert not covered(scope=Scope.CPU, in_use=(B,), require_measured=True, rapl=True).problem


def test_scope_all_never_adds_an_estimate() -> None:
    assert "needs a counter for the CPU" in covered(scope=Scope.ALL, in_use=(A,)).problem


@pytest.mark.parametrize("scope", [Scope.AUTO, Scope.GPU, Scope.ALL])
def test_work_that_no_sensor_sees_is_a_problem_unless_only_the_cpu_is_asked(scope: Scope) -> None:
    mps = DeviceUse(elsewhere=("an Apple GPU (MPS)",))
    assert "an Apple GPU (MPS) was used" in covered(scope=scope, held=mps).problem
    cuda = DeviceUse(frozenset({"aaaa"}))
    assert "CUDA was used" in covered(scope=scope, held=cuda, no_gpu="no driver").problem
    for held in (mps, cuda):
        assert not covered(scope=Scope.CPU, held=held, no_gpu="no driver").problem
        assert not covered("9 cpu-ms / query", held=held, no_gpu="no driver").problem


def test_a_board_in_use_without_a_sensor_is_a_problem() -> None:
    found = covered(in_use=(A,), faults={"gpu:0": "Not Supported"})
    assert found.problem == "gpu:0 can't be read: Not Supported"


@pytest.mark.parametrize(("whole", "problem"), [(True, False), (False, True)])
def test_a_slice_counts_only_when_it_is_the_whole_board(whole: bool, problem: bool) -> None:
    mig = MigDevice("MIG-1", whole)
    found = covered(in_use=(Allotted(Board(0, "GPU-AAAA", (mig,)), mig),))
    assert bool(found.problem) is problem


def test_requiring_a_counter_refuses_an_estimate_where_a_limit_is_set() -> None:
    assert "cpu:process is estimated" in covered(require_measured=True).problem
    assert "gpu:1 is integrated" in covered(in_use=(B,), require_measured=True).problem
    assert not covered(in_use=(A,), require_measured=True).problem
    assert not covered("9 cpu-ms / query", require_measured=True).problem
    assert not covered(None, require_measured=True).problem
