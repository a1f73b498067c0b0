"""The live line of commands: on a terminal, and elsewhere."""

from __future__ import annotations

import io

import pytest

from pytest_energy.report.progress import LiveProgress, Step


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")


def drawn(stream: Terminal) -> str:
    """What was written since the last look."""
    text = stream.getvalue()
    stream.seek(0)
    stream.truncate()
    return text


def test_a_terminal_shows_the_step_and_the_time_left() -> None:
    stream, seconds = Terminal(), [0.0]
    with LiveProgress(stream, lambda: seconds[0]) as progress:
        assert "━" not in drawn(stream)
        progress.show(Step("pair 1 of 5, reference", 0, 10))
        assert "pair 1 of 5, reference" in drawn(stream)
        seconds[0] = 60.0
        progress.show(Step("pair 1 of 5, candidate", 1, 10))
        text = drawn(stream)
        assert "pair 1 of 5, candidate" in text
        assert "0:09:00" in text
        seconds[0] = 120.0
        progress.show(Step("pair 2 of 8, candidate", 2, 16))
        assert "0:14:00" in drawn(stream)  # at the speed of all steps, also with another total
        progress.show(Step("--setup in [the base]"))
        assert "--setup in [the base]" in drawn(stream)


def test_a_line_stays_above_the_live_one_which_is_removed_at_the_end() -> None:
    stream = Terminal()
    with LiveProgress(stream) as progress:
        progress.show(Step("second", 1, 2))
        line = f"[1/2] {'first ' * 20}skipped"
        progress.print(line)
        assert f"{line}\n" in drawn(stream)
    assert drawn(stream).endswith("\x1b[2K")  # the line is erased, and the cursor is on it


def test_a_pipe_gets_the_lines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    with LiveProgress(stream) as progress:
        progress.show(Step("first", 0, 2))
        progress.print("[1/2] first: 0.07 Wh")
    assert stream.getvalue() == "[1/2] first: 0.07 Wh\n"


def test_a_log_gets_a_line_for_each_step_where_that_is_asked_for() -> None:
    stream, seconds = io.StringIO(), [5.0]
    with LiveProgress(stream, lambda: seconds[0], lines=True) as progress:
        progress.show(Step("pair 1 of 5, reference", 0, 10))
        seconds[0] = 77.4
        progress.show(Step("--setup in the base\n::error::"))
    assert (
        stream.getvalue() == "0:00 pair 1 of 5, reference\n1:12 --setup in the base\\n::error::\n"
    )


def test_a_terminal_gets_no_lines() -> None:
    stream = Terminal()
    with LiveProgress(stream, lines=True) as progress:
        progress.show(Step("first", 0, 2))
        assert "0:00 first" not in drawn(stream)
