"""The powercap tree of Linux: which zones count energy, which are left out, what hides others.

Zones are the packages of a processor and their parts. No text here names a path but the usual one,
so that all can be shown in public.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path

from pytest_energy.sensors import CPU_COUNTER_FOLDER
from pytest_energy.sensors.base import Access, Kind

DEVICES = Path("/sys/devices/virtual/powercap")
"""Where the links in CPU_COUNTER_FOLDER lead, and what container runtimes mount something over."""

CONTROL_TYPE = re.compile(r"[\w-]*rapl[\w-]*")
ZONE = re.compile(r"[\w-]*rapl[\w-]*(:\d+)+")
PACKAGE = re.compile(r"package-(?P<number>\d+)(-die-\d+)?")
NAME = re.compile(r"[a-z][a-z0-9_-]*")
FOLDER_LEVELS = 4
#: Of a count in microjoules; the kernel's have 64 bits.
MOST_DIGITS = 20
"""The root, a control type in it, a package in that and its parts."""


@dataclass(frozen=True, kw_only=True)
class Zone:
    """A zone to count. label: its name for people, unique in the tree; package: its number."""

    id: str
    folder: Path
    kind: Kind
    name: str
    package: str
    label: str
    channel: str


_REFUSED = {
    Access.ABSENT: "no RAPL counters",
    Access.MASKED: "the RAPL counters are masked",
    Access.DENIED: "no permission for the RAPL counters",
    Access.FAULTY: "the RAPL counters cannot be trusted",
}


class Refusal(Exception):
    """The counters cannot be used: in which way, and what was seen."""

    def __init__(self, access: Access, seen: str) -> None:
        super().__init__(f"{_REFUSED[access]}: {seen}")
        self.access = access


@dataclass(frozen=True)
class _Folder:
    path: Path
    entries: frozenset[str]


@dataclass(frozen=True)
class _Tree:
    """zones: their folders by id. dangling: links to zones that lead nowhere. bare: empty folders
    that should hold zones."""

    zones: Mapping[str, _Folder]
    dangling: frozenset[str]
    bare: tuple[Path, ...]


def zones_to_count(root: Path, left_out: dict[str, str]) -> list[Zone]:
    """Packages and their memory. Raises Refusal where there are none or some are hidden."""
    place = _place(root)
    try:
        tree = _scan(root)
    except (FileNotFoundError, NotADirectoryError):
        if root.is_symlink() and CONTROL_TYPE.fullmatch(root.name):
            raise Refusal(Access.MASKED, f"{place} is a broken link") from None
        if _under_a_mask(root):
            raise Refusal(Access.MASKED, f"{place} is hidden, as in a container") from None
        raise Refusal(Access.ABSENT, f"{place} does not exist") from None
    except PermissionError:
        raise Refusal(Access.DENIED, f"this user may not list {place}") from None
    except OSError as error:
        raise Refusal(Access.FAULTY, f"{place} cannot be listed: {why_not(error)}") from None
    hidden = set(tree.dangling)
    hidden |= {zone for zone, folder in tree.zones.items() if "energy_uj" not in folder.entries}
    if mattering := sorted(filter(_matters, hidden)):
        raise Refusal(
            Access.MASKED, f"the counters of {', '.join(mattering)} are hidden, as in a container"
        )
    names = {zone: _name(zone, folder.path) for zone, folder in tree.zones.items()}
    found: list[Zone] = []
    for zone, name in names.items():
        if not NAME.fullmatch(name):
            raise Refusal(
                Access.FAULTY,
                f"the name of {zone} reads {shown(name)}; expected a word such as package-0",
            )
        above = names.get(zone.rpartition(":")[0], "")
        if reason := _reason_to_leave_out(zone, name, above):
            left_out[f"{name} ({zone})"] = reason
        else:
            found.append(_zone(zone, tree.zones[zone].path, name, above))
    if not any(zone.kind is Kind.CPU for zone in found):
        if _covered(root, tree.bare):
            raise Refusal(Access.MASKED, f"something is mounted over {place}, as in a container")
        raise Refusal(Access.ABSENT, f"{place} holds no RAPL package")
    return _with_unique_labels(found)


def _name(zone: str, folder: Path) -> str:
    try:
        return read_file(folder / "name").decode("ascii", "replace").strip()
    except PermissionError:
        raise Refusal(Access.DENIED, f"this user may not read the name of {zone}") from None
    except HiddenFile:
        raise Refusal(Access.MASKED, f"the name of {zone} is hidden, as in a container") from None
    except OSError:
        return ""


def _scan(root: Path) -> _Tree:
    """The zones at and below `root`, each once: links may show one in several places.

    Nothing but control types and zones is entered, and nothing deeper than a zone can be, since
    other links in these folders lead back up.
    """
    zones: dict[str, _Folder] = {}
    links: set[str] = set()
    bare: list[Path] = []
    level = [root]
    for _ in range(FOLDER_LEVELS):
        deeper: list[Path] = []
        for folder in level:
            if folder.name in zones:
                continue
            entries = frozenset(each.name for each in folder.iterdir())
            if ZONE.fullmatch(folder.name) and folder != root:
                zones[folder.name] = _Folder(folder, entries)
            elif not entries:
                bare.append(folder)
            for name in sorted(entries):
                path = folder / name
                if name in zones or not (ZONE.fullmatch(name) or CONTROL_TYPE.fullmatch(name)):
                    continue
                if path.is_dir():
                    deeper.append(path)
                elif path.is_symlink():
                    links.add(name)
        level = deeper
    in_order = sorted(zones, key=lambda zone: [int(part) for part in zone.split(":")[1:]])
    return _Tree(
        {zone: zones[zone] for zone in in_order}, frozenset(links - zones.keys()), tuple(bare)
    )


def _matters(zone: str) -> bool:
    """Whether this zone or control type may hold counters that are not found elsewhere."""
    return not zone.partition(":")[0].endswith("-mmio")


def _reason_to_leave_out(zone: str, name: str, above: str) -> str:
    if not _matters(zone):
        return "counts the energy of the package again"
    if name == "psys":
        return "contains the packages"
    if name == "dram":
        return ""
    if zone.count(":") > 1:
        return f"is inside {above or 'its package'}"
    return "" if PACKAGE.fullmatch(name) else "is neither a package nor memory"


def _zone(zone: str, folder: Path, name: str, above: str) -> Zone:
    package = PACKAGE.fullmatch(above if name == "dram" else name)
    number = package["number"] if package else zone
    if name != "dram":
        return Zone(
            id=zone,
            folder=folder,
            kind=Kind.CPU,
            name=name,
            package=number,
            label=name,
            channel=f"cpu:{name}",
        )
    label = f"dram of {above}" if package else f"dram ({zone})"
    channel = f"dram:{above.removeprefix('package-') if package else zone}"
    return Zone(
        id=zone,
        folder=folder,
        kind=Kind.DRAM,
        name=name,
        package=number,
        label=label,
        channel=channel,
    )


def _with_unique_labels(zones: Sequence[Zone]) -> list[Zone]:
    """Zones of one name are distinguished by their ids."""
    labels = [zone.label for zone in zones]
    return [
        zone if labels.count(zone.label) == 1 else replace(zone, label=f"{zone.label} ({zone.id})")
        for zone in zones
    ]


def _covered(root: Path, bare: Sequence[Path]) -> bool:
    """Whether a mount at or below the root explains why a folder is empty."""
    mounts = _mounts()
    if is_usual(root) and DEVICES in mounts:
        return True
    top = root.resolve()
    return any(
        folder.resolve().is_relative_to(mount)
        for mount in mounts
        if mount.is_relative_to(top)
        for folder in bare
    )


def _under_a_mask(root: Path) -> bool:
    """Whether a folder of /sys is missing because a runtime has put an empty one above it."""
    mounts = _mounts()
    above = [each for each in (root, *root.parents) if each in mounts]
    return root.is_relative_to("/sys") and bool(above) and mounts[above[0]] == "tmpfs"


def _mounts() -> dict[Path, str]:
    """Mount points and their file systems."""
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        fields, _, more = line.partition(b" - ")
        # Spaces and the like are written as three octal digits; see proc_pid_mountinfo(5).
        point = re.sub(rb"\\(\d{3})", lambda code: bytes([int(code[1], 8)]), fields.split()[4])
        found[Path(os.fsdecode(point))] = os.fsdecode(more.split(b" ")[0])
    return found


class HiddenFile(OSError):
    """A device such as /dev/null in the place of a file: how container runtimes hide one."""


def open_file(path: Path) -> FileIO:
    """Open a file of a zone. Raises OSError; it does not wait for a pipe or a device."""
    file = FileIO(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISREG(mode):
        return file
    file.close()
    if stat.S_ISCHR(mode):
        raise HiddenFile
    raise OSError(errno.EINVAL, "not a regular file")


def read_file(path: Path) -> bytes:
    """The beginning of a file of a zone. Raises OSError."""
    with open_file(path) as file:
        return file.read(256)


def text_of(path: Path) -> str:
    """Empty where it cannot be read."""
    try:
        return read_file(path).decode("ascii", "replace").strip()
    except OSError:
        return ""


def number(text: bytes) -> int | None:
    """A count as the kernel writes it; int() would take signs and underscores too."""
    digits = text.strip()
    return int(digits) if digits.isdigit() and len(digits) <= MOST_DIGITS else None


def shown(text: bytes | str) -> str:
    return ascii(text[:40]).removeprefix("b")


def why_not(error: OSError) -> str:
    # str(error) would name the path.
    return os.strerror(error.errno) if error.errno else type(error).__name__


def cannot_read(zone: Zone, file: str, error: OSError) -> str:
    return f"{file} of {zone.label} cannot be read: {why_not(error)}"


def is_usual(root: Path) -> bool:
    """Whether this is where Linux has the counters, and not a folder that a user names."""
    return root == CPU_COUNTER_FOLDER


def _place(root: Path) -> str:
    return str(root) if is_usual(root) else "the folder that energy_cpu_counter_folder names"
