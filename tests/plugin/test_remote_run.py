"""`--energy-remote` as a user has it: a real page on loopback, judged, stored and shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from exporters import BOARD, BUSY_WATTS, DCGM, IDLE_WATTS, LiveExporter, line, live_exporter

from conftest import EnergyPytester
from pytest_energy.sensors import remote_watch

#: The work is the server's; this process waits for it.
WINDOW = """
import time
import urllib.request

@pytest.mark.energy_budget({limit!r}, scope={scope!r})
def test_it(energy):
    with energy.window(count=10):
        urllib.request.urlopen({busy!r}).read()
        {work}
        urllib.request.urlopen({idle!r}).read()
"""
SLEEP = "time.sleep(0.3)"


class Server(LiveExporter):
    """An exporter whose board works between two requests."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = self.asked

    def asked(self) -> tuple[int, bytes]:
        if self.paths[-1] in ("/busy", "/idle"):
            self.draw(BUSY_WATTS if self.paths[-1] == "/busy" else IDLE_WATTS)
            return 200, b""
        return self.counter()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # A board that is read afresh at each request has windows of a second; these are shorter.
    monkeypatch.setattr(remote_watch, "MIN_WINDOW_SECONDS", 0.2)
    made = Server()
    yield made
    made.stop()


def measured(
    inner: EnergyPytester,
    server: Server,
    *options: str,
    limit: str = "100 J / query",
    scope: str = "auto",
    busy: str = "busy",
    work: str = SLEEP,
) -> tuple[pytest.RunResult, dict[str, Any]]:
    base = f"http://{server.place}/"
    inner.write(
        WINDOW.format(limit=limit, scope=scope, busy=base + busy, idle=base + "idle", work=work)
    )
    remote = options or (f"--energy-remote=box=http://me:sesame@{server.place}/metrics",)
    result = inner.run("--energy-gpus=none", *remote)
    return result, inner.tests()["test_it"]


@pytest.mark.parametrize(("limit", "verdict"), [("100 J / query", "pass"), ("1 J / query", "fail")])
def test_a_limit_covers_the_boards_of_the_page(
    energy_pytester: EnergyPytester, server: Server, limit: str, verdict: str
) -> None:
    result, test = measured(energy_pytester, server, limit=limit)
    assert test["verdict"] == verdict, test["reason"]
    (gated,) = [each for each in test["channels"] if each["gated"]]
    assert gated["name"] == "box:gpu-0"
    assert (gated["provenance"], gated["hardware"]) == ("measured", "NVIDIA L40S")
    assert test["scope"] == "gpu"
    (only,) = test["rounds"]
    # It is busy for 0.3 s at least, and idle only while the window opens and closes.
    assert 10 * test["joules_per_unit"] > 0.95 * BUSY_WATTS * 0.3
    assert 10 * test["joules_per_unit"] < 1.05 * BUSY_WATTS * only["seconds"]
    # Neither address nor password is in anything that is printed or stored.
    for text in (result.stdout.str(), result.stderr.str(), json.dumps(energy_pytester.record())):
        assert "sesame" not in text and server.place not in text


def test_a_board_that_did_not_work_is_no_measurement(
    energy_pytester: EnergyPytester, server: Server
) -> None:
    """Though this process itself was busy: its work was not on that board."""
    _, test = measured(energy_pytester, server, busy="idle", work="spin(300)")
    assert (test["verdict"], test["code"]) == ("unmeasured", "no-work-seen")
    assert "none of what --energy-remote names rose above its idle power" in test["reason"]


def test_a_page_that_does_not_answer_is_said_and_nothing_is_green(
    energy_pytester: EnergyPytester, server: Server
) -> None:
    options = (f"--energy-remote=box={server.url}/missing", "--energy-remote=http://127.0.0.1:9/")
    server.answer = lambda: (404, b"")
    result, test = measured(energy_pytester, server, *options, scope="gpu", busy="x")
    assert test["verdict"] == "unmeasured"
    shown = " ".join(result.stdout.str().split())
    assert "box is not measured: HTTP status 404; expected 200" in shown
    assert "remote-2 is not measured: no answer: Connection refused" in shown


def test_a_page_that_breaks_in_a_window_is_unmeasured(
    energy_pytester: EnergyPytester, server: Server
) -> None:
    def broken() -> tuple[int, bytes]:
        is_broken = server.paths[-1] == "/metrics" and "/idle" in server.paths
        return (500, b"") if is_broken else server.asked()

    server.answer = broken
    _, test = measured(energy_pytester, server)
    assert test["verdict"] == "unmeasured"
    assert "box:gpu-0: HTTP status 500" in test["reason"]


def test_counters_that_a_budgets_file_names_replace_the_known_ones(
    energy_pytester: EnergyPytester, server: Server
) -> None:
    energy_pytester.pytester.path.joinpath("energy-budgets.toml").write_text(
        'schema = 1\n[[remote]]\nendpoint = "box"\nmetric = "plug_energy_total"\n'
        'kind = "machine"\nunit = "Wh"\nlabels = { outlet = "3" }\n',
        encoding="utf-8",
    )

    def plug() -> tuple[int, bytes]:
        status, body = server.asked()
        page = line("plug_energy_total", server.now() / 3600, outlet="3") + line(DCGM, 1.0, **BOARD)
        return status, page.encode() if body else body

    server.answer = plug
    _, test = measured(energy_pytester, server, scope="machine")
    assert test["verdict"] == "pass", test["reason"]
    assert [each["name"] for each in test["channels"] if each["gated"]] == ["box:machine-0"]


@pytest.mark.parametrize(
    ("prefix", "hits", "said"),
    [("prefix_cache", 512, "6.2 %"), ("gpu_prefix_cache", 512, "6.2 %"), ("prefix_cache", 4, "")],
)
def test_what_a_server_took_from_its_cache_is_noted(
    energy_pytester: EnergyPytester, server: Server, prefix: str, hits: int, said: str
) -> None:
    """Of two engines, each of which has looked up more before the test."""

    def vllm() -> tuple[int, bytes]:
        after = "/idle" in server.paths
        counts = {"hits": 100 + after * hits / 2, "queries": 5000 + after * 4096}
        page = "".join(
            line(f"vllm:{prefix}_{name}_total", value, engine=engine)
            for name, value in counts.items()
            for engine in "01"
        )
        status, body = server.asked()
        return status, body and body + page.encode()

    server.answer = vllm
    _, test = measured(energy_pytester, server)
    notes = [each for each in test["notes"] if "prefix cache" in each]
    assert bool(notes) is bool(said)
    assert all(f"box took {said} of the prompts (512 of 8,192 tokens)" in each for each in notes)


def cache_alone(server: Server) -> tuple[int, bytes]:
    """A page that has looked up more each time it is read, and answered half of it."""
    looked_up = 1000.0 * len(server.paths)
    pair = ("hits", looked_up / 2), ("queries", looked_up)
    page = "".join(line(f"vllm:prefix_cache_{name}_total", value) for name, value in pair)
    return 200, page.encode()


def test_a_page_with_a_cache_alone_is_read_too(
    energy_pytester: EnergyPytester, server: Server
) -> None:
    server.answer = lambda: cache_alone(server)
    result, test = measured(energy_pytester, server, scope="cpu", work="spin(50)")
    (note,) = [each for each in test["notes"] if "prefix cache" in each]
    assert "box took 50 % of the prompts" in note
    shown = " ".join(result.stdout.str().split())
    assert "no energy counter" in shown and "its prefix cache is read" in shown


def test_each_way_to_measure_has_the_note(energy_pytester: EnergyPytester, server: Server) -> None:
    server.answer = lambda: cache_alone(server)
    energy_pytester.write(
        """
        @budget(scope="cpu")
        def test_load(energy):
            energy.measure_load(spin, concurrency=1)

        @budget(scope="cpu")
        def test_call(energy):
            energy.measure(spin)

        @budget(scope="cpu")
        def test_body():
            spin()

        def test_pairs(energy):
            energy.compare(spin, spin)

        @budget(scope="cpu")
        def test_parts(energy):
            def generate(prompt, new_tokens):
                spin(0.1 * (len(prompt) + new_tokens))

            energy.measure_generation(generate, prompts={1: "a", 9: "a" * 9}, new_tokens=(1, 9))
        """
    )
    energy_pytester.run(
        "--energy-gpus=none", f"--energy-remote=box={server.url}", "--energy-max-seconds=0.3"
    )
    tests = energy_pytester.record()["tests"]
    names = {each["id"].rpartition("::")[2] for each in tests}
    assert names == {"test_load", "test_call", "test_body", "test_pairs", "test_parts"}
    for test in tests:
        assert len([each for each in test["notes"] if "box took 50 % of the prompts" in each]) == 1


def test_no_page_is_read_unless_it_is_asked_for(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live_exporter() as exporter:
        energy_pytester.write(
            "@budget\ndef test_it(energy):\n    with energy.window():\n        spin(50)\n"
        )
        energy_pytester.run("--energy-gpus=none")
        assert exporter.paths == []
        monkeypatch.setenv("PYTEST_ENERGY_REMOTE", f"{exporter.url} b={exporter.url}")
        energy_pytester.run("--energy-gpus=none")
        assert exporter.paths
        (test,) = energy_pytester.record()["tests"]
        names = [each["name"] for each in test["channels"]]
        assert names == ["remote-1:gpu-0", "cpu:process"]  # b is the same board


def test_an_address_that_is_none_ends_the_run_before_any_test(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write("@budget\ndef test_it():\n    spin()\n")
    result = energy_pytester.run("--energy-remote=a=http://x/", "--energy-remote=secret.example")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--energy-remote: address 2: it is not a URL*for example box=*"])
    result.stderr.no_fnmatch_line("*secret*")
