"""A page of metrics of another machine, in Prometheus's text format: fetched and read.

No message holds the address: it may hold a host's name or a password.
"""

from __future__ import annotations

import _socket
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Collection, Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from io import BufferedReader, RawIOBase
from typing import Any
from urllib.parse import SplitResult, unquote

from pytest_energy.sensors.base import SensorFault
from pytest_energy.sensors.clock import now
from pytest_energy.sensors.remote_metrics import Endpoint, Sample

#: A page of a large node has some hundred kilobytes.
LARGEST_BYTES = 8_000_000
CHUNK_BYTES = 65_536
#: Of the lines that are about energy: to parse one takes a time that grows with its square.
LONGEST_LINE, MOST_LINES = 10_000, 20_000


def fetch(endpoint: Endpoint, seconds: float) -> str:
    """The page's text, within so many seconds. Raises SensorFault.

    One request without a proxy, to this address alone: no redirect is followed.
    """
    ends = now() + seconds
    chunks: list[bytes] = []
    size = 0
    try:
        with closing(_connection(endpoint, ends)) as connection:
            connection.request("GET", _target(endpoint.url), headers=_headers(endpoint.url))
            with connection.getresponse() as answer:
                if answer.status != 200:
                    raise SensorFault(_refused(answer.status), "bad-answer")
                while chunk := answer.read1(CHUNK_BYTES):
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > LARGEST_BYTES:
                        raise SensorFault(_too_large(), "bad-answer")
    except TimeoutError:
        raise SensorFault(f"no answer within {seconds:g} s", "no-answer") from None
    except ssl.SSLError as error:  # its text may name the host
        raise SensorFault(f"TLS failed ({error.reason})", "no-answer") from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise SensorFault(f"no answer: {why}", "no-answer") from None
    except HTTPException as error:
        raise SensorFault(
            f"the answer is not HTTP ({type(error).__name__})", "bad-answer"
        ) from None
    return b"".join(chunks).decode(errors="replace")


class _Unseen(socket.socket):
    """A socket of ours: whoever counts the connections of the test does not see it."""

    connect = _socket.socket.connect


class _Until(RawIOBase):
    """What a socket receives until a time, however little comes at once."""

    def __init__(self, opened: socket.socket, ends: float) -> None:
        self._socket, self._ends = opened, ends
        self._file: Any = opened.makefile("rb", buffering=0)  # keeps the socket open

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(_left(self._ends))
        found: int | None = self._file.readinto(buffer)
        return found

    def close(self) -> None:
        self._file.close()
        super().close()


def _left(ends: float) -> float:
    """The seconds until then. Raises TimeoutError."""
    left: float = ends - now()
    if left <= 0:
        raise TimeoutError
    return left


def _connection(endpoint: Endpoint, ends: float) -> HTTPConnection:
    """Connected; all of it, with its answer, takes until this time at most."""
    url = endpoint.url
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    opened: socket.socket = _connected(host, port, ends)
    connection = HTTPConnection(host, port)
    if url.scheme == "https":
        context = ssl.create_default_context()
        opened.settimeout(_left(ends))
        with closing(opened):  # the wrapped one takes its descriptor over
            opened = context.wrap_socket(opened, server_hostname=host)
        connection = HTTPSConnection(host, port, context=context)
    opened.settimeout(_left(ends))
    connection.sock = opened

    class Answer(HTTPResponse):
        def __init__(self, sock: socket.socket, *arguments: Any, **keywords: Any) -> None:
            super().__init__(sock, *arguments, **keywords)
            self.fp.close()
            self.fp = BufferedReader(_Until(sock, ends))

    connection.response_class = Answer
    return connection


def _connected(host: str, port: int, ends: float) -> socket.socket:
    """To the first of the host's addresses that answers."""
    why: OSError = OSError("the host has no address")
    places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, place in places:
        opened = _Unseen(family, kind, protocol)
        try:
            opened.settimeout(_left(ends))
            opened.connect(place)
        except OSError as error:
            opened.close()
            why = error
        else:
            return opened
    raise why


def _target(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _headers(url: SplitResult) -> dict[str, str]:
    headers = {"Accept": "text/plain;version=0.0.4", "Connection": "close"}
    if url.username is not None:
        words = f"{unquote(url.username)}:{unquote(url.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(words.encode()).decode()}"
    return headers


def _too_large() -> str:
    return (
        f"the answer is larger than {LARGEST_BYTES // 1_000_000} MB; name an address that lists "
        "the energy metrics only"
    )


def _refused(status: int) -> str:
    if 300 <= status < 400:
        return f"HTTP status {status}: it redirects to another address; name that one"
    if status in (401, 403):
        return f"HTTP status {status}: name user and password in the URL (http://USER:PASSWORD@...)"
    return f"HTTP status {status}; expected 200"


def read_page(text: str, metrics: Collection[str]) -> Sequence[Sample]:
    """The samples of these metrics. Raises SensorFault where a line of theirs is none."""
    # The parser takes a second for the page of a large node; most of it is about other things.
    from prometheus_client.parser import text_string_to_metric_families

    lines = [line for line in text.split("\n") if _metric_of(line) in metrics]
    if len(lines) > MOST_LINES or any(len(each) > LONGEST_LINE for each in lines):
        raise SensorFault(
            f"the page has more than {MOST_LINES:,} lines of energy metrics, or one of more than "
            f"{LONGEST_LINE:,} characters; name an address that lists one machine",
            "bad-answer",
        )
    try:
        families = list(text_string_to_metric_families("\n".join(lines) + "\n"))
    except (ValueError, IndexError, KeyError):
        raise SensorFault(
            "a line of its energy metrics is not in Prometheus's text format", "bad-answer"
        ) from None
    return [
        Sample(each.name, each.labels, float(each.value))
        for family in families
        for each in family.samples
    ]


def _metric_of(line: str) -> str:
    return re.split(r"[{\s]", line.lstrip(), maxsplit=1)[0]
