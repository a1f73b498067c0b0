"""The real `transformers serve`, for as long as a test needs it or as a process of its own.

python server.py FOLDER starts one that outlives this command, and prints its process id and URL.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

#: One thread computes, because threads that wait burn CPU time; and nothing is downloaded.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
STARTS_SECONDS = 300.0


@dataclass(frozen=True)
class Server:
    """A server that answers. model: what requests call it."""

    pid: int
    url: str
    model: str

    def kill(self) -> None:
        """End it at once, in the middle of what it does."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def start(folder: Path) -> Server:
    """Start a server and wait until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)]
    command += ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--continuous-batching", "--cb-num-blocks", "128", "--log-level", "error"]
    log = folder / f"server-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **ENVIRONMENT}, stdout=output, stderr=output
        )
    server = Server(process.pid, f"http://127.0.0.1:{port}/v1", str(folder))
    ends = time.monotonic() + STARTS_SECONDS
    try:
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"the server does not answer:\n{log.read_text('utf-8')}")
            time.sleep(0.1)
        _ask_once(server)
    except BaseException:
        process.kill()
        raise
    return server


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server of this process, killed at the end."""
    server = start(folder)
    try:
        yield server
    finally:
        server.kill()
        with suppress(ChildProcessError):
            os.waitpid(server.pid, 0)


@contextmanager
def serving_elsewhere(folder: Path) -> Iterator[Server]:
    """A server that is no descendant of this process, as if somebody else had started it."""
    command = [sys.executable, __file__, str(folder)]
    # Processes that a test leaves behind are its own still, and known by its environment.
    others = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=others)
    pid, url = found.stdout.split()
    server = Server(int(pid), url, str(folder))
    try:
        yield server
    finally:
        server.kill()


def _answers(port: int) -> bool:
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
        return True
    return False


def _ask_once(server: Server) -> None:
    """The first request takes seconds, in which the server prepares its batches."""
    body = {"model": server.model, "prompt": "w1", "max_tokens": 1}
    request = Request(
        f"{server.url}/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urlopen(request, timeout=STARTS_SECONDS).close()


if __name__ == "__main__":
    started = start(Path(sys.argv[1]))
    print(started.pid, started.url)
