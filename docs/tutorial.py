"""Run docs/tutorial.md in an empty folder, and write what its commands print into it.

python docs/tutorial.py

What the commands printed stays as it is while only figures differ. The machine is taken for a
quiet one, as the reader's is: other load is not looked for, and a run that shows it is repeated.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).with_suffix(".md")
_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"`(?P<name>[\w.-]+)`:\n\n\Z")
#: pytest's header, and what other processes did to no effect.
_LEFT_OUT = re.compile(
    r"^(?:platform|rootdir|plugins|configfile)\b[^\n]*\n"
    r"|^\w+: CPU contention: .*?leaves? (?:it|them) out\n",
    re.DOTALL | re.MULTILINE,
)
_DISTURBED = re.compile(
    r"increased the CPU time|same\s+input\s+differ|what other processes add|inconclusive|not stored"
    r"|machine\s+warms"
)
ATTEMPTS = 4
COLUMNS = 80


@dataclass(frozen=True)
class Step:
    """A file that is written, or commands and what they print. name: of the file, "" for none."""

    name: str
    text: str
    output: str = ""

    @property
    def commands(self) -> list[str]:
        return [] if self.name else self.text.splitlines()

    @property
    def fails(self) -> bool:
        """Whether the last command ends with a red test."""
        return " failed" in self.output


def steps(page: str) -> Iterator[Step]:
    """What a reader does, in order; what is installed is there already."""
    blocks = list(_BLOCK.finditer(page))
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block["language"] == "text" or "pip install" in block["text"]:
            continue
        named = _FILE.search(page[: block.start()])
        has_output = following is not None and following["language"] == "text"
        output = following["text"] if following is not None and has_output else ""
        yield Step(named["name"] if named else "", block["text"], output)


def words(text: str) -> set[str]:
    """What an output says, whatever its figures."""
    return set(re.findall(r"[A-Za-z][a-z_-]{2,}", text))


def printed(step: Step, folder: Path, columns: int = COLUMNS, options: str = "") -> str:
    """What the commands of a step print where nothing disturbs them."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs, "COLUMNS": str(columns)}
    environment["PYTHONPATH"] = str(PAGE.parent)
    quiet = f"-p {Path(__file__).stem}"  # the hook below
    environment["PYTEST_ADDOPTS"] = f"-p no:cacheprovider -p no:asyncio {quiet} {options}"
    with tempfile.TemporaryDirectory() as kept:
        before = Path(kept) / "before"
        shutil.copytree(folder, before)
        for _ in range(ATTEMPTS):
            shutil.rmtree(folder)
            shutil.copytree(before, folder)
            ran = subprocess.run(
                ["sh", "-c", step.text],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            if not _DISTURBED.search(ran.stdout):
                output = _LEFT_OUT.sub("", ran.stdout).replace(f"{folder}{os.sep}", "")
                return re.sub(r"(?<=passed|failed) in \d+\.\d+s ", " ", output)
    sys.exit(f"other load disturbed {ATTEMPTS} runs of: {step.text}")


def wrapped(text: str, columns: int = COLUMNS) -> str:
    """Long lines as a terminal shows them, but broken between words."""
    return "".join(
        f"{textwrap.fill(line, columns, break_long_words=False, break_on_hyphens=False)}\n"
        if len(line) > columns
        else f"{line}\n"
        for line in text.splitlines()
    )


def pytest_configure() -> None:
    """As a plugin of the runs: there is no contention."""
    from pytest_energy.measurement import result

    vars(result)["has_contention"] = lambda _: False


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    outputs: list[tuple[Step, str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for step in steps(page):
            if step.name:
                (folder / step.name).write_text(step.text, encoding="utf-8")
            else:
                outputs.append((step, wrapped(printed(step, folder))))
    if all(words(output) == words(step.output) for step, output in outputs):
        return
    for step, output in outputs:
        shown = f"```sh\n{step.text}```\n\n```text\n"
        page = page.replace(f"{shown}{step.output}```", f"{shown}{output}```", 1)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
