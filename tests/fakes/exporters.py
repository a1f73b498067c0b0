"""Exporters of energy counters: one on a virtual clock, and a real HTTP server on loopback."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pytest_energy.sensors.base import SensorFault
from pytest_energy.sensors.remote_metrics import Sample
from pytest_energy.testing import VirtualTime

BOARD = {"gpu": "0", "UUID": "GPU-0a", "modelName": "NVIDIA L40S", "Hostname": "node-7"}
DCGM = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
IDLE_WATTS, BUSY_WATTS = 40.0, 300.0


def line(metric: str, value: float, **labels: str) -> str:
    written = ",".join(f'{name}="{text}"' for name, text in labels.items())
    return f"{metric}{{{written}}} {value!r}\n"


class VirtualExporter:
    """A page whose counter draws a known power, refreshed every so often, in virtual time.

    behind: the value is so many seconds old when it appears, as behind a Prometheus server. A
    period of 0 reads the counter afresh for each page. fetched: how often the page was read.
    fails_every: so many pages, one does not list the counter.
    """

    def __init__(
        self, time: VirtualTime, period: float, behind: float = 0.0, seed: int = 0
    ) -> None:
        self.time = time
        self.period = period
        self.behind = behind
        self.labels = dict(BOARD)
        self.fault: SensorFault | None = None
        self.frozen = False
        self.fetched = 0
        self.fails_every = 0
        self.offset_joules = 5e6
        self._random = random.Random(seed)
        self._powers: list[tuple[float, float]] = [(0.0, IDLE_WATTS)]
        self._shown = 0.0
        self._next = time.seconds + self._random.random() * period

    def draw(self, watts: float) -> None:
        """The power from now on."""
        self._powers.append((self.time.seconds, watts))

    def joules(self, until: float) -> float:
        """The true energy."""
        ends = [seconds for seconds, _ in self._powers[1:]] + [until]
        return self.offset_joules + sum(
            max(min(end, until) - start, 0.0) * watts
            for (start, watts), end in zip(self._powers, ends, strict=True)
            if start < until
        )

    def work(self, seconds: float, watts: float = BUSY_WATTS) -> None:
        self.draw(watts)
        self.time.pass_by(seconds)
        self.draw(IDLE_WATTS)

    def look(self, seconds: float) -> Sequence[Sample]:
        self.fetched += 1
        self.time.pass_by(0.002)  # there
        now = self.time.seconds
        if not self.period:
            self._shown = self.joules(now)
        while self.period and not self.frozen and self._next <= now:
            self._shown = self.joules(self._next - self.behind)
            self._next += self.period * (1 + 0.03 * self._random.random())
        self.time.pass_by(0.003)  # and back
        if self.fault is not None:
            raise self.fault
        if self.fails_every and not self.fetched % self.fails_every:
            return []
        return [Sample(DCGM, self.labels, round(self._shown * 1000))]


class LiveExporter:
    """A real server; `answer` gives status and body, and is asked anew for each request.

    The body is sent in pieces of so many bytes, with a pause after each.
    """

    def __init__(self, watts: float = IDLE_WATTS) -> None:
        self.watts = watts
        self.began = time.perf_counter()
        self.joules = 1000.0
        self.answer: Callable[[], tuple[int, bytes]] = self.counter
        self.piece, self.pause = 10**9, 0.0
        self.before = b""  # sent 200 times, with the pause after each, in place of an answer
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                exporter.headers.append(dict(self.headers.items()))
                exporter.paths.append(self.path)
                for _ in range(200 if exporter.before else 0):
                    self.wfile.write(exporter.before)
                    time.sleep(exporter.pause)
                if exporter.before:
                    return
                status, body = exporter.answer()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()
                for start in range(0, len(body), exporter.piece):
                    self.wfile.write(body[start : start + exporter.piece])
                    time.sleep(exporter.pause)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.place = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.place}/metrics"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def draw(self, watts: float) -> None:
        self.joules, self.began = self.now(), time.perf_counter()
        self.watts = watts

    def now(self) -> float:
        return self.joules + self.watts * (time.perf_counter() - self.began)

    def counter(self) -> tuple[int, bytes]:
        return 200, line(DCGM, round(self.now() * 1000), **BOARD).encode()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def live_exporter(watts: float = IDLE_WATTS) -> Iterator[LiveExporter]:
    made = LiveExporter(watts)
    try:
        yield made
    finally:
        made.stop()
