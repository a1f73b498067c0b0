"""Whom the processes of a test talk to, as far as their sockets tell (Linux).

Connections that stay open are seen in /proc, short ones where Python connects.
Nothing is remembered of another machine but the port.
"""

from __future__ import annotations

import errno
import functools
import os
import socket
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from pytest_energy.sensors.clock import real

#: Connections made through Python since they were asked for: (family, address).
Address = tuple[int, object]
_ESTABLISHED, _LISTEN = "01", "0A"
#: Bytes acknowledged and received, in struct tcp_info of linux/tcp.h.
_TCP_BYTES = struct.Struct("=120xQQ")
_MOST_ADDRESSES = 1000


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A process outside the test's tree that it has a connection to.

    pid, name: None and "" where it is another machine's, or another user's. port: None for a socket
    in the file system. exchanged: bytes over connections that stayed open, None where unknown.
    connections: made meanwhile. cpu_seconds: of it and its descendants meanwhile.
    """

    pid: int | None
    name: str
    port: int | None
    is_remote: bool
    exchanged: int | None
    connections: int
    cpu_seconds: float


class Connects:
    """Counts where this process connects to, while it is entered.

    By a wrapper around the methods of `socket.socket`: an audit hook would be called for every
    event, which makes each `id()` twenty times as long.
    """

    def __init__(self) -> None:
        self.made: Counter[Address] = Counter()
        self._wrappers: dict[str, Callable[..., object]] = {}
        self._replaced: dict[str, object] = {}

    def __enter__(self) -> None:
        for name in ("connect", "connect_ex"):
            self._replaced[name] = vars(socket.socket).get(name)
            self._wrappers[name] = self._counting(getattr(socket.socket, name))
            setattr(socket.socket, name, self._wrappers[name])

    def __exit__(self, *exception: object) -> None:
        for name, wrapper in self._wrappers.items():
            if vars(socket.socket).get(name) is not wrapper:
                continue  # the test has replaced it, and its own undoing comes later
            if self._replaced[name] is None:
                delattr(socket.socket, name)
            else:
                setattr(socket.socket, name, self._replaced[name])

    def _counting(self, connect: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(connect)
        def counting(opened: socket.socket, address: object) -> object:
            with suppress(Exception):  # it would be raised by the test's own call
                key = (int(opened.family), _plain(address))
                if key in self.made or len(self.made) < _MOST_ADDRESSES:
                    self.made[key] += 1
            return connect(opened, address)

        return counting


@dataclass(frozen=True)
class _Open:
    """A connection that is open: bytes so far, None where it is another process's."""

    remote: tuple[str, int]
    local: tuple[str, int]
    exchanged: int | None


class Peers:
    """Looks when it is made, and at the end says who took part in between."""

    def __init__(self, connects: Connects, ours: frozenset[int]) -> None:
        self._connects = connects
        self._made = Counter(connects.made)
        self._ours = ours
        self._open = _open_connections(ours)
        owners = self._owners([*self._open.values()], self._made)
        self._cpu = _cpu_seconds({pid for pid in (*owners.values(), *_unix_peers()) if pid})

    def are_counted(self, pids: Collection[int]) -> None:
        """These belong to the test from now on."""
        self._ours |= frozenset(pids)

    def seen(self, ours: frozenset[int]) -> tuple[Peer, ...]:
        """All peers outside the tree; `ours` are the tree's processes now."""
        self._ours |= ours
        now = _open_connections(self._ours)
        made = self._connects.made - self._made
        owners = self._owners([*now.values()], made)
        unix = _unix_peers() - self._ours
        cpu = _cpu_seconds({pid for pid in (*owners.values(), *unix) if pid})
        found: dict[tuple[int | None, int | None, bool], Peer] = {}
        for key, connections, exchanged in self._traffic(now, made):
            pid = owners.get(key)
            if pid in self._ours:
                continue
            port = key[1] if isinstance(key[1], int) else None
            is_remote = key not in owners and port is not None and not _is_ours(str(key[0]))
            if key not in owners and not is_remote:
                continue  # nobody listens there any more, or this system doesn't say who
            place = (pid, port, is_remote)
            before = found.get(place)
            used = cpu[pid] - self._cpu.get(pid, cpu[pid]) if pid in cpu else 0.0
            if before is not None:
                connections += before.connections
                exchanged = (exchanged or 0) + (before.exchanged or 0)
            found[place] = Peer(
                pid=pid,
                name=_name(pid),
                port=port,
                is_remote=is_remote,
                exchanged=exchanged,
                connections=connections,
                cpu_seconds=max(used, 0.0),
            )
        for pid in unix - {place[0] for place in found}:
            used = cpu.get(pid, 0.0) - self._cpu.get(pid, cpu.get(pid, 0.0))
            found[pid, None, False] = Peer(
                pid=pid,
                name=_name(pid),
                port=None,
                is_remote=False,
                exchanged=None,
                connections=0,
                cpu_seconds=max(used, 0.0),
            )
        return tuple(found.values())

    def _traffic(
        self, now: Mapping[str, _Open], made: Mapping[Address, int]
    ) -> Iterator[tuple[tuple[str, int | str], int, int | None]]:
        """Each peer's address with its new connections and the bytes over those that are open."""
        for inode, each in now.items():
            before = self._open.get(inode)
            bytes_before = before.exchanged if before is not None else 0
            exchanged = None
            if each.exchanged is not None and bytes_before is not None:
                exchanged = each.exchanged - bytes_before
            yield each.remote, 0, exchanged
        for address, count in made.items():
            if (place := _place(address)) is not None:
                yield place, count, None

    def _owners(
        self, opened: Iterable[_Open], made: Mapping[Address, int]
    ) -> dict[tuple[str, int | str], int | None]:
        """The process at the other end, by address: None for none of this machine."""
        places = [place for each in made if (place := _place(each)) is not None]
        opened = list(opened)
        if not places and not opened:
            return {}
        table = list(_tcp_table())
        ends = {(row.local, row.remote): row.inode for row in table if row.state == _ESTABLISHED}
        listening: dict[int, str] = {}
        for row in table:
            if row.state == _LISTEN:
                listening.setdefault(row.local[1], row.inode)
        inodes: dict[tuple[str, int | str], str] = {}
        for each in opened:
            if inode := ends.get((each.remote, each.local)):
                # Of a server with several workers it is the process that began the others.
                inodes[each.remote] = listening.get(each.remote[1], inode)
        files = _unix_listeners() if any(not isinstance(port, int) for _, port in places) else {}
        for place in places:
            host, port = place
            if isinstance(port, str):
                inode = files.get(port)
            else:
                inode = listening.get(port) if _is_ours(host) else None
            if inode:
                inodes.setdefault(place, inode)
        pids = _pids_of(set(inodes.values()), self._ours)
        return {place: pids.get(inode) for place, inode in inodes.items()}


@dataclass(frozen=True)
class _Row:
    local: tuple[str, int]
    remote: tuple[str, int]
    state: str
    inode: str


def _tcp_table() -> Iterator[_Row]:
    for version in ("tcp", "tcp6"):
        for line in _read(f"/proc/net/{version}").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9:
                yield _Row(_address(fields[1]), _address(fields[2]), fields[3], fields[9])


def _address(text: str) -> tuple[str, int]:
    """From "0100007F:1F90"; an IPv4 address in IPv6 is that IPv4 address."""
    host, _, port = text.partition(":")
    words = [int(host[i : i + 8], 16) for i in range(0, len(host), 8)]
    raw = struct.pack(f"={len(words)}I", *words)
    if len(raw) == 16 and raw[:12] == bytes(10) + b"\xff\xff":
        raw = raw[12:]
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, raw), int(port, 16)


def _unix_listeners() -> dict[str, str]:
    """Inodes by path of sockets that accept connections."""
    rows = (line.split(maxsplit=7) for line in _read("/proc/net/unix").splitlines()[1:])
    return {row[7]: row[6] for row in rows if len(row) == 8 and row[3] == "00010000"}


def _open_connections(pids: frozenset[int]) -> dict[str, _Open]:
    """TCP connections of these processes by inode."""
    mine = dict(_socket_inodes(real.getpid()))
    inodes: dict[str, int | None] = dict(mine)
    for pid in pids - {real.getpid()}:
        inodes |= dict.fromkeys(dict(_socket_inodes(pid)))
    if not inodes:
        return {}
    return {
        row.inode: _Open(row.remote, row.local, _bytes_of(inodes[row.inode]))
        for row in _tcp_table()
        if row.state == _ESTABLISHED and row.inode in inodes
    }


def _socket_inodes(pid: int) -> Iterator[tuple[str, int]]:
    """Inodes of a process's sockets, with their descriptors."""
    folder = f"/proc/{pid}/fd"
    for name in _entries(folder):
        try:
            target = real.readlink(f"{folder}/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1], int(name)


def _unix_peers() -> set[int]:
    """Who listens where sockets of this process in the file system are connected to."""
    layout = struct.Struct("=iII")
    found = set()
    for _, descriptor in _socket_inodes(real.getpid()):
        credentials = _option(
            descriptor, socket.AF_UNIX, socket.SOL_SOCKET, socket.SO_PEERCRED, layout.size
        )
        if len(credentials) == layout.size:
            found.add(int(layout.unpack(credentials)[0]))
    return found - {0}


def _option(descriptor: int, family: int | None, level: int, option: int, size: int) -> bytes:
    """An option of a socket of this process, of this family; empty for another one."""
    try:
        copy = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return b""
    with copy:
        try:
            is_asked_for = family is None or copy.family == family
            return copy.getsockopt(level, option, size) if is_asked_for else b""
        except OSError:
            return b""


def _bytes_of(descriptor: int | None) -> int | None:
    """Sent and received over a TCP connection of this process."""
    if descriptor is None:
        return None
    information = _option(descriptor, None, socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    return sum(_TCP_BYTES.unpack_from(information)) if len(information) >= _TCP_BYTES.size else None


def _pids_of(inodes: set[str], ours: frozenset[int]) -> dict[str, int]:
    """Who holds these sockets; of several processes ours, else the first, which began the rest."""
    found: dict[str, int] = {}
    others = sorted(int(name) for name in _entries("/proc") if name.isdigit())
    for pid in (*sorted(ours), *(each for each in others if each not in ours)):
        for inode, _ in _socket_inodes(pid):
            if inode in inodes:
                found.setdefault(inode, pid)
        if len(found) == len(inodes):
            break
    return found


def _cpu_seconds(pids: set[int]) -> dict[int, float]:
    """CPU seconds of each process and its descendants."""
    if not pids:
        return {}
    tick = real.sysconf("SC_CLK_TCK")
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for name in _entries("/proc"):
        fields = _read(f"/proc/{name}/stat").rpartition(")")[2].split() if name.isdigit() else []
        if len(fields) > 14:
            parents[int(name)] = int(fields[1])
            seconds[int(name)] = sum(map(int, fields[11:15])) / tick
    total = dict.fromkeys(pids & set(seconds), 0.0)
    for pid, used in seconds.items():
        above: int | None = pid
        while above is not None and above not in total:
            above = parents.get(above)
        if above is not None:
            total[above] += used
    return total


def _plain(address: object) -> object:
    """Host and port of an IP address, or the path of a socket in the file system."""
    if isinstance(address, tuple) and len(address) >= 2:
        return address[:2]
    return os.fsdecode(address) if isinstance(address, str | bytes) else None


def _place(address: Address) -> tuple[str, int | str] | None:
    """As rows of /proc are named; None for what isn't TCP or a path."""
    family, where = address
    if family in (socket.AF_INET, socket.AF_INET6) and isinstance(where, tuple):
        host, port = where
        host = str(host).removeprefix("::ffff:")
        return ("127.0.0.1" if host in ("localhost", "", "0.0.0.0") else host), int(port)
    if family == getattr(socket, "AF_UNIX", None) and isinstance(where, str) and where:
        return "", where.replace("\0", "@", 1) if where[0] == "\0" else where
    return None


def _is_ours(host: str) -> bool:
    """Whether an address is one of this machine: only such can be bound."""
    if host.startswith("127.") or host == "::1":
        return True
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EINVAL, None)
    return True


def _name(pid: int | None) -> str:
    return "" if pid is None else _read(f"/proc/{pid}/comm").strip() or "a program"


def _read(path: str) -> str:
    try:
        file = real.open(path, os.O_RDONLY)
    except OSError:
        return ""
    try:
        return b"".join(iter(lambda: real.read(file, 65536), b"")).decode(errors="replace")
    except OSError:
        return ""
    finally:
        real.close(file)


def _entries(folder: str) -> list[str]:
    try:
        return list(real.listdir(folder))
    except OSError:
        return []
