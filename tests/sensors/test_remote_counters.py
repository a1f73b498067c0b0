"""Which lines of a page are counters, and that nothing is counted twice."""

from __future__ import annotations

import pytest
from exporters import BOARD, DCGM, line

from pytest_energy.errors import InputError
from pytest_energy.sensors.base import Kind, SensorFault
from pytest_energy.sensors.remote_counters import BOOT_TIME, Counter, Taken, find_counters
from pytest_energy.sensors.remote_metrics import KNOWN, Endpoint, RemoteMetric, Unit, endpoints
from pytest_energy.sensors.remote_page import read_page

BOX = Endpoint("box", "http://192.0.2.7:9400/metrics")
HERE = Endpoint("here", "http://localhost:9100/metrics")
PACKAGE, DRAM = "node_rapl_package_joules_total", "node_rapl_dram_joules_total"
BOOTED = 1_700_000_000.0
NODE = line(PACKAGE, 10.0, index="0", path="p0") + line(PACKAGE, 11.0, index="1", path="p1")


def found(
    page: str,
    endpoint: Endpoint = BOX,
    taken: Taken | None = None,
    *chosen: RemoteMetric,
    left_out: dict[str, str] | None = None,
) -> list[Counter]:
    samples = read_page(page, {each.metric for each in chosen or KNOWN} | {BOOT_TIME})
    left = {} if left_out is None else left_out
    return find_counters(
        endpoint, samples, chosen, taken if taken is not None else Taken(), BOOTED, left
    )


def shown(counters: list[Counter]) -> list[tuple[str, str]]:
    return [(each.channel, each.hardware) for each in counters]


def test_each_known_exporter_is_read_in_its_own_unit() -> None:
    page = (
        "# TYPE something counter\n"
        + line("something_else_total", 1.0)
        + line(DCGM, 15_152_422_938.0, **BOARD)
        + line(DRAM, 2.5, index="0", path="d0")
        + line("node_rapl_core_joules_total", 5.0, index="0")
        + NODE
    )
    counters = found(page)
    assert shown(counters) == [
        ("box:gpu-0", "NVIDIA L40S"),
        ("box:cpu-0", "cpu of box"),
        ("box:cpu-1", "cpu of box"),
        ("box:dram-0", "dram of box"),
    ]
    samples = read_page(page, {each.metric for each in KNOWN})
    assert [each.joules(samples) for each in counters] == [
        pytest.approx(15_152_422.938),
        10.0,
        11.0,
        2.5,
    ]


@pytest.mark.parametrize(
    ("metric", "label"),
    [("nv_energy_consumption", "gpu_uuid"), ("gpu_total_energy_consumption_joules", "device_id")],
)
def test_servers_that_count_themselves_are_known(metric: str, label: str) -> None:
    (counter,) = found(line(metric, 12.5, **{label: "GPU-0a"}))
    assert counter.metric.kind is Kind.GPU
    assert counter.joules(read_page(line(metric, 12.5, **{label: "GPU-0a"}), {metric})) == 12.5


def test_of_keplers_zones_those_count_that_add_up() -> None:
    name = "kepler_node_cpu_joules_total"
    page = "".join(
        line(name, 9.0, zone=zone, node_name="n") for zone in ("core", "package", "dram", "psys")
    )
    assert [each.channel for each in found(page)] == ["box:cpu-0", "box:dram-0"]


def test_a_board_that_several_pods_or_slices_share_is_one() -> None:
    page = (
        line(DCGM, 7.0, **BOARD, pod="a")
        + line(DCGM, 7.0, **BOARD, pod="b")
        + line(DCGM, 7.0, **BOARD, GPU_I_ID="3")
    )
    (counter,) = found(page)
    assert counter.joules(read_page(page, {DCGM})) == 0.007
    changed = page + line(DCGM, 8.0, **BOARD, pod="c")
    with pytest.raises(SensorFault, match="times with different values"):
        counter.joules(read_page(changed, {DCGM}))


def test_two_exporters_of_one_board_count_it_once() -> None:
    taken, left_out = Taken(), dict[str, str]()
    found(line(DCGM, 7.0, **BOARD), BOX, taken)
    triton = Endpoint("triton", "http://192.0.2.8:8002/metrics")
    page = line("nv_energy_consumption", 7.0, gpu_uuid="gpu-0A")
    assert found(page, triton, taken, left_out=left_out) == []
    assert left_out == {"nv_energy_consumption of triton": "box:gpu-0 counts the same board"}


def test_a_board_that_this_machine_reads_itself_is_left_out() -> None:
    left_out: dict[str, str] = {}
    assert found(line(DCGM, 7.0, **BOARD), BOX, Taken({"0a": "gpu:1"}), left_out=left_out) == []
    (why,) = left_out.values()
    assert why == "gpu:1 counts the same board, name that with --energy-gpus"


def test_two_exporters_of_one_processor_count_it_once() -> None:
    taken, left_out = Taken(), dict[str, str]()
    assert len(found(NODE, BOX, taken)) == 2
    kepler = Endpoint("kepler", "http://192.0.2.7:28282/metrics")
    page = line("kepler_node_cpu_joules_total", 9.0, zone="package")
    assert found(page, kepler, taken, left_out=left_out) == []
    assert list(left_out.values()) == [f"{PACKAGE} of box counts the same"]
    other = Endpoint("other", "http://192.0.2.9:28282/metrics")
    assert len(found(page, other, taken)) == 1


def test_a_page_of_this_machine_replaces_the_estimate_but_no_counter() -> None:
    assert shown(found(NODE, HERE)) == [("here:cpu-0", ""), ("here:cpu-1", "")]
    taken = Taken(parts={(Kind.CPU, "this machine"): ("", "")})
    left_out: dict[str, str] = {}
    assert found(NODE, HERE, taken, left_out=left_out) == []
    assert "this machine's own counters" in left_out[f"{PACKAGE} of here"]


@pytest.mark.parametrize(("boot", "is_here"), [(BOOTED + 0.5, True), (BOOTED + 90.0, False)])
@pytest.mark.parametrize("endpoint", [HERE, BOX])
def test_the_boot_time_tells_a_forwarded_port(
    boot: float, is_here: bool, endpoint: Endpoint
) -> None:
    counters = found(f"{BOOT_TIME} {boot!r}\n{NODE}", endpoint)
    assert {each.hardware == "" for each in counters} == {is_here}


def test_behind_a_prometheus_server_each_machine_has_its_own_counters() -> None:
    page = "".join(
        line(PACKAGE, 5.0, index="0", path="p", instance=f"{host}:9100", job="node")
        for host in ("node-1", "node-2")
    )
    assert len(found(page)) == 2


def test_a_counter_that_a_user_names_replaces_what_is_known() -> None:
    chosen = RemoteMetric(
        metric=DCGM, kind=Kind.GPU, unit=Unit.MILLIJOULE, labels={"gpu": "1"}, endpoint="box"
    )
    page = line(DCGM, 7.0, gpu="0") + line(DCGM, 9000.0, gpu="1", driver="589") + NODE
    (counter,) = found(page, BOX, None, chosen)
    assert counter.joules(read_page(page, {DCGM})) == 9.0
    # Its other labels may change, because these tell it apart.
    changed = line(DCGM, 7.0, gpu="0") + line(DCGM, 9500.0, gpu="1", driver="590")
    assert counter.joules(read_page(changed, {DCGM})) == 9.5
    with pytest.raises(SensorFault) as gone:
        counter.joules(read_page(line(DCGM, 7.0, gpu="0"), {DCGM}))
    assert gone.value.code == "series-gone"


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1"])
def test_a_value_that_is_no_number_of_joules_is_a_fault(value: str) -> None:
    (counter,) = found(line(DCGM, 7.0, **BOARD))
    page = line(DCGM, 7.0, **BOARD).replace("7.0", value)
    with pytest.raises(SensorFault, match="expected a number from 0 up"):
        counter.joules(read_page(page, {DCGM}))


def test_a_line_that_is_none_is_a_fault_and_other_lines_are_not_read() -> None:
    assert read_page("garbage {{{ \n<html>\n" + line(DCGM, 7.0), {DCGM})[0].value == 7.0
    with pytest.raises(SensorFault, match="not in Prometheus's text format"):
        read_page(f'{DCGM}{{gpu="0"}} seven\n', {DCGM})


def test_each_page_has_an_alias_and_no_address_is_shown() -> None:
    mine = endpoints(["http://u:secret@192.0.2.7/metrics?a=b", "box=https://192.0.2.8/m"])
    assert [each.alias for each in mine] == ["remote-1", "box"]
    assert "192" not in repr(mine) and "secret" not in repr(mine)
    assert mine[1].url.geturl() == "https://192.0.2.8/m"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["secret.example"], "address 1: it is not a URL that begins with"),
        (["file:///etc/secret"], "begins with http"),
        (["http://"], "begins with http"),
        (["http://[secret"], "it is not a URL"),
        (["http://secret:port/"], "it is not a URL"),
        (["http://secret..example/"], "it is not a URL"),
        ([f"http://secret{'x' * 60}/"], "it is not a URL"),
        (["http://secret/\n"], "characters that a URL cannot have"),
        (["gpu=http://secret/"], "the alias 'gpu' is a word for channels"),
        (["a=http://secret/", "a=http://secret/2"], "address 2: the alias 'a' is taken"),
    ],
)
def test_an_address_that_is_none_is_refused_without_showing_it(words: list[str], why: str) -> None:
    with pytest.raises(InputError) as refused:
        endpoints(words)
    assert why in str(refused.value)
    assert "secret" not in str(refused.value)
