"""Pages over HTTP: a real server on loopback that answers well, badly, late or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from exporters import DCGM, LiveExporter, line, live_exporter

from pytest_energy.measurement.peers import Connects
from pytest_energy.sensors import remote_page
from pytest_energy.sensors.base import SensorFault
from pytest_energy.sensors.remote_metrics import Endpoint
from pytest_energy.sensors.remote_page import fetch, read_page


@pytest.fixture
def exporter() -> Iterator[LiveExporter]:
    with live_exporter() as made:
        yield made


def fault_of(endpoint: Endpoint, seconds: float = 1.0) -> SensorFault:
    with pytest.raises(SensorFault) as failed:
        fetch(endpoint, seconds)
    assert "127.0.0.1" not in str(failed.value) and "secret" not in str(failed.value)
    return failed.value


def test_a_page_is_read_without_a_proxy(
    exporter: LiveExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    page = fetch(Endpoint("box", f"{exporter.url}?match[]=x"), 1.0)
    assert read_page(page, {DCGM})[0].labels["modelName"] == "NVIDIA L40S"
    assert exporter.paths == ["/metrics?match[]=x"]


def test_credentials_of_the_url_are_sent_and_never_shown(exporter: LiveExporter) -> None:
    endpoint = Endpoint("box", f"http://me:s%C3%A9cret@{exporter.place}/metrics")
    fetch(endpoint, 1.0)
    assert exporter.headers[0]["Authorization"] == "Basic bWU6c8OpY3JldA=="
    exporter.answer = lambda: (401, b"secret")
    assert "name user and password in the URL" in str(fault_of(endpoint))


@pytest.mark.parametrize(("status", "said"), [(500, "HTTP status 500"), (302, "it redirects")])
def test_a_status_other_than_200_is_a_fault(exporter: LiveExporter, status: int, said: str) -> None:
    exporter.answer = lambda: (status, b"")
    fault = fault_of(Endpoint("box", exporter.url))
    assert said in str(fault) and fault.code == "bad-answer"
    assert len(exporter.paths) == 1  # it is not followed


def test_a_huge_page_is_not_read_to_its_end(
    exporter: LiveExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_page, "LARGEST_BYTES", 100_000)
    exporter.answer = lambda: (200, b"x" * 300_000)
    assert "larger than" in str(fault_of(Endpoint("box", exporter.url)))


def test_a_server_that_hangs_or_drips_is_given_up(exporter: LiveExporter) -> None:
    def late() -> tuple[int, bytes]:
        time.sleep(0.3)
        return 200, b""

    exporter.answer = late
    began = time.perf_counter()
    fault = fault_of(Endpoint("box", exporter.url), 0.05)
    assert fault.code == "no-answer" and "within 0.05 s" in str(fault)
    assert time.perf_counter() - began < 0.25
    # A server that sends a little now and then keeps each single step short.
    exporter.answer = lambda: (200, b"x" * 1_000)
    exporter.piece, exporter.pause = 10, 0.01
    began = time.perf_counter()
    assert fault_of(Endpoint("box", exporter.url), 0.05).code == "no-answer"
    assert time.perf_counter() - began < 0.25


@pytest.mark.parametrize(
    "piece", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"H", b"\r\n"]
)
def test_a_server_that_never_comes_to_its_answer_is_given_up(
    exporter: LiveExporter, piece: bytes
) -> None:
    exporter.before, exporter.pause = piece, 0.01
    fault = fault_of(Endpoint("box", exporter.url), 0.05)
    assert "within 0.05 s" in str(fault) or "is not HTTP" in str(fault)
    if len(piece) > 2:
        assert fault.code == "no-answer"


@pytest.mark.parametrize(
    "page",
    [
        line(DCGM, 1.0, **{f"a{each}": "b" for each in range(2_000)}),
        line(DCGM, 1.0, a="\\" * 20_000),
        line(DCGM, 1.0) * 20_001,
    ],
    ids=["many labels", "many escapes", "many lines"],
)
def test_lines_that_take_long_to_parse_are_refused(page: str) -> None:
    with pytest.raises(SensorFault, match="20,000 lines of energy metrics, or one of more than"):
        read_page(page, {DCGM})


def test_a_label_adds_no_line() -> None:
    page = line(DCGM, 7.0, a=f"\u2028{DCGM} 9\u0085{DCGM} 9\x0b{DCGM} 9")
    assert [each.value for each in read_page(page, {DCGM})] == [7.0]


def test_a_server_that_is_gone_or_has_no_name_is_a_fault(exporter: LiveExporter) -> None:
    exporter.stop()
    fault = fault_of(Endpoint("box", exporter.url))
    assert fault.code == "no-answer" and "Connection refused" in str(fault)
    assert fault_of(Endpoint("box", "http://secret.invalid/metrics")).code == "no-answer"


def test_what_is_no_http_or_no_tls_is_a_fault(exporter: LiveExporter) -> None:
    fault = fault_of(Endpoint("box", exporter.url.replace("http:", "https:")))
    assert fault.code == "no-answer" and "TLS failed" in str(fault)


def test_a_page_is_no_connection_of_the_test(exporter: LiveExporter) -> None:
    connects = Connects()
    with connects:
        fetch(Endpoint("box", exporter.url), 1.0)
    assert not connects.made


def test_lines_of_other_metrics_cost_next_to_nothing() -> None:
    page = line("other_total", 1.0, a="b") * 20_000 + line(DCGM, 7.0)
    began = time.process_time()
    assert len(read_page(page, {DCGM})) == 1
    assert time.process_time() - began < 0.2
