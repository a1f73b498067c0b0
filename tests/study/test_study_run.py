"""`pytest-energy study run`: what is chosen, planned, stored and shown; without torch."""

from __future__ import annotations

import importlib.util
import io
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
from session_records import measured, session
from study_records import FIGURE
from typer.testing import CliRunner

from conftest import EnergyPytester
from pytest_energy.cli import app
from pytest_energy.record import file as record
from pytest_energy.record.plain import RecordError
from pytest_energy.study.report import render_results
from pytest_energy.study.running import codecarbon_way, command
from pytest_energy.study.running.choice import OPTIONS, Choice
from pytest_energy.study.running.command import RunProgress, duration
from pytest_energy.study.running.models import why_impossible
from pytest_energy.study.running.results import labels, read_result, result_of
from pytest_energy.study.running.twins import (
    Twin,
    pick,
    twins,
)

HAS_TORCH = importlib.util.find_spec("torch") is not None


def twin(name: str) -> Twin:
    (found,) = pick((), [name], twins())
    return found


# -- which are chosen -----------------------------------------------------------------------------


def test_a_task_goes_by_any_of_its_names() -> None:
    by_hub = Choice(tasks=("fill-mask",)).subjects()
    assert by_hub == Choice(tasks=("masked language modeling",)).subjects()
    assert {each.task for each in by_hub} == {"fill-mask"}


def test_a_name_may_leave_out_its_task_and_hold_stars() -> None:
    assert {each.name for each in pick((), ["distilbert"], twins())} == {
        "question-answering/distilbert",
        "fill-mask/distilbert",
    }
    assert {each.name for each in pick((), ["*/gpt2*"], twins())} == {
        "text-generation/gpt2",
        "text-generation/gpt2-medium",
    }
    assert twin("google/flan-t5-base").name == "zero-shot/flan-t5-base"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(tasks=("chess",)), "unknown task 'chess'; choose from text-class"),
        (Choice(names=("gtp2",)), "'gtp2' matches none of the 46 models; for example .*gpt2"),
        (Choice(weights="zero"), "--weights=zero: choose from random, hub"),
        (Choice(dtype="int4"), "--dtype=int4: choose from float32, bfloat16, float16"),
        (Choice(method="guess"), "--method=guess: choose from ours, codecarbon"),
        (Choice(threads=0), "--threads=0: expected a whole number from 1"),
        (Choice(model="gpt2"), "needs exactly one task, for example --task=text-class"),
        (
            Choice(model="gpt2", tasks=("text-generation",), weights="hub"),
            "remove --weights, or add --twin",
        ),
        (Choice(model="./nowhere", tasks=("text-generation",)), "no such folder"),
    ],
)
def test_an_unknown_task_or_model_is_reported_with_the_known_ones(
    choice: Choice, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        choice.check()


def test_ones_own_model_does_the_queries_of_its_task(tmp_path: Path) -> None:
    choice = Choice(tasks=("text-generation",), model=str(tmp_path))
    choice.check()
    (own,) = choice.subjects()
    assert own.name == f"text-generation/{tmp_path.name}"
    assert (own.inputs, own.new_tokens) == (twin("gpt2").inputs, twin("gpt2").new_tokens)
    assert not own.study_id


def test_twins_are_run_with_ones_own_model(tmp_path: Path) -> None:
    alone = Choice(tasks=("text-generation",), model=str(tmp_path), results=tmp_path)
    choice = replace(alone, names=("gpt2*",), weights="hub")
    choice.check()
    own, *others = choice.subjects()
    assert alone.subjects() == (own,)
    assert others == [twin("gpt2"), twin("gpt2-medium")]
    assert [choice.weights_of(each) for each in choice.subjects()] == ["own", "hub", "hub"]
    (folder := tmp_path / "gpt2").mkdir()
    with pytest.raises(ValueError, match="the name of the twin text-generation/gpt2: rename"):
        replace(choice, model=str(folder)).check()


def test_a_result_is_kept_apart_by_all_that_makes_another_figure(tmp_path: Path) -> None:
    base = Choice(results=tmp_path)
    others = [
        (replace(base, dtype="bfloat16"), "cpu"),
        (replace(base, weights="hub"), "cpu"),
        (replace(base, full=True), "cpu"),
        (replace(base, threads=2), "cpu"),
        (base, "cuda"),
        (base, "cpu"),
    ]
    paths = {choice.result_path(twin("gpt2"), device) for choice, device in others}
    assert len(paths) == len(others)


def test_a_twin_with_a_result_is_not_pending(tmp_path: Path) -> None:
    choice = Choice(names=("gpt2", "distilgpt2"), results=tmp_path)
    path = choice.result_path(twin("gpt2"), "cpu")
    assert path is not None
    record.write(session(), path)
    assert choice.pending("cpu") == (twin("distilgpt2"),)
    assert len(choice.pending("cuda")) == 2
    assert len(replace(choice, again=True).pending("cpu")) == 2
    both = replace(choice, method="codecarbon")
    assert len(both.pending("cpu")) == 2
    codecarbon_way.write_figure(FIGURE, codecarbon_way.codecarbon_path(path))
    assert both.pending("cpu") == choice.pending("cpu")


def test_every_setting_reaches_pytest() -> None:
    choice = Choice(
        tasks=("fill-mask",),
        names=("a", "b"),
        weights="hub",
        model="m",
        dtype="float16",
        device="cuda:1",
        threads=2,
        seed=3,
        method="codecarbon",
        results=Path("r"),
    )
    given = replace(choice, full=True, again=True).arguments()
    flags = {each.partition("=")[0] for each in given}
    assert flags == {option.flag for option in OPTIONS} - {"--study-progress"}
    assert {"--study-twin=a", "--study-twin=b", "--study-device=cuda:1"} <= set(given)


# -- the plan and the progress --------------------------------------------------------------------


def test_the_plan_of_a_short_run_is_its_time_limit(tmp_path: Path) -> None:
    choice = Choice(tasks=("fill-mask",), results=tmp_path)
    covers = "(one call to warm up and one round always run); start-up and loading add about"
    assert command.plan(choice, "cpu", 60) == [
        f"4 models, at most 60 s of measurement each: 4 min at most {covers} 35 s"
    ]
    path = choice.result_path(twin("albert-base-v2"), "cpu")
    assert path is not None
    record.write(session(), path)
    codecarbon_way.write_figure(FIGURE, codecarbon_way.codecarbon_path(path))
    assert command.plan(replace(choice, method="codecarbon"), "cpu", 60) == [
        "1 of 4 already have a result; --again measures them again",
        f"3 models, at most 60 s of measurement each: 3 min at most {covers} 31 s",
        "each is then measured again by CodeCarbon, which doubles the time",
    ]


def test_the_plan_of_a_full_run_is_the_sum_of_its_queries() -> None:
    choice = Choice(tasks=("text-generation",), full=True)
    seconds = sum(1000 * each.cpu_seconds["float32"] for each in choice.subjects())
    (line,) = command.plan(choice, "cpu", 60)
    assert line.startswith(f"1,000 queries of 6 models: about {seconds / 3600:.0f} h ")
    on_gpu = command.plan(replace(choice, device="cuda"), "cuda", 60)
    assert on_gpu == ["1,000 queries of 6 models; the duration on this device is unknown"]


def test_nothing_pending_needs_no_time(tmp_path: Path) -> None:
    choice = Choice(names=("gpt2",), results=tmp_path)
    path = choice.result_path(twin("gpt2"), "cpu")
    assert path is not None
    record.write(session(), path)
    assert len(command.plan(choice, "cpu", 60)) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_has_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    choice, clock, stream = Choice(tasks=("fill-mask",)), [0.0], Terminal()
    progress = RunProgress(stream, choice, 60, lambda: clock[0])
    with progress.running(choice.subjects()):
        progress.start("fill-mask/distilbert")
        assert "0 of 4: fill-mask/distilbert" in stream.getvalue()
        clock[0] = 20.0
        progress.end("fill-mask/distilbert", "0.07 Wh")
        assert "[1/4] fill-mask/distilbert: 0.07 Wh\n" in stream.getvalue()
        progress.start("fill-mask/albert-base-v2")  # three are left, and the first took 20 s
        line = stream.getvalue().rpartition("1 of 4: fill-mask/albert-base-v2")[2]
        assert "0:01:01" in line  # the largest of them takes longer to load


def test_progress_in_a_pipe_is_a_line_for_each_model() -> None:
    stream, choice = io.StringIO(), Choice(tasks=("fill-mask",))
    progress = RunProgress(stream, choice, 60)
    with progress.running(choice.subjects()):
        progress.start("fill-mask/distilbert")
        progress.end("fill-mask/distilbert", "skipped: too big")
    assert stream.getvalue() == "[1/4] fill-mask/distilbert: skipped: too big\n"


def test_an_unknown_time_left_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    choice = Choice(names=("sd1.5", "gpt2"), full=True, device="cuda")
    assert choice.expected_seconds(twin("sd1.5"), 60) is None
    stream = Terminal()
    progress = RunProgress(stream, choice, 60, iter(range(0, 10_000, 10)).__next__)
    with progress.running(choice.subjects()):
        progress.end("text-generation/gpt2", "0.07 Wh")
        progress.start("text-to-image/sd1.5")
    assert "1 of 2: text-to-image/sd1.5" in stream.getvalue()
    assert "0:0" not in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (79200, "22 h")],
)
def test_a_duration_is_shown_in_the_unit_of_its_size(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# -- results --------------------------------------------------------------------------------------

LABELS = labels("text-generation/gpt2", "gpt2", "float32", "cpu", "random")


def test_windows_of_one_model_are_one_figure() -> None:
    parts = [measured(joules, labels=LABELS, name=f"part {joules}") for joules in (1.0, 2.0)]
    found = result_of(parts, None)
    assert found is not None
    assert found.units == sum(each.units for test in parts for each in test.rounds[1:])
    assert found.joules_per_unit == pytest.approx(2**0.5, rel=0.02)  # the mean of logarithms
    assert found.twin == "text-generation/gpt2"


def test_a_test_that_was_not_measured_has_no_result() -> None:
    good = measured(labels=LABELS)
    assert result_of([good], None) is not None
    assert result_of([replace(good, joules_per_unit=None)], None) is None
    assert result_of([replace(good, failure="RuntimeError")], None) is None
    assert result_of([good, replace(good, joules_per_unit=None)], None) is None
    assert result_of([measured()], None) is None
    assert result_of([], None) is None


def test_results_are_read_back_with_the_figure_of_codecarbon(tmp_path: Path) -> None:
    path = tmp_path / "gpt2.json"
    assert read_result(path) is None
    record.write(session(measured(labels=LABELS)), path)
    found = read_result(path)
    assert found is not None
    assert found.codecarbon is None
    codecarbon_way.write_figure(FIGURE, codecarbon_way.codecarbon_path(path))
    assert read_result(path) == replace(found, codecarbon=FIGURE)
    record.write(session(), path)
    with pytest.raises(RecordError, match=r"gpt2\.json: holds no measurement of a model"):
        read_result(path)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_keeps_names_and_figures_at_any_width(width: int) -> None:
    found = result_of([measured(3.6, labels=LABELS)], FIGURE)
    own = result_of([measured(7.2, labels={**LABELS, "study_model": "", "twin": "x/own"})], None)
    assert found is not None
    assert own is not None
    text = render_results([found, own], width)
    assert all(len(line) <= width for line in text.splitlines())
    flat = "".join(text.split())
    assert "text-generation/gpt2" in flat or width == 60
    assert "1.00" in flat  # Wh for 1,000
    assert "0.5560.6" in flat  # CodeCarbon's, and how many times ours that is
    assert "CodeCarbon3.3.2countsthewholemachine,asinthestudy" in flat
    assert "notcomparedwithit:x/own." in flat
    assert render_results([], width) == ""


@pytest.mark.realtime
@pytest.mark.parametrize(("milliseconds", "windows"), [(0.3, 1), (3, 10)])
def test_1000_queries_are_one_window_or_ten(
    energy_pytester: EnergyPytester, milliseconds: float, windows: int
) -> None:
    energy_pytester.write(
        f"""
        from pytest_energy.study.running import queries
        from pytest_energy.study.running.queries import Inference
        from pytest_energy.study.running.twins import pick, twins

        queries.ONE_WINDOW_SECONDS = 2.5
        done = []

        def query(given):
            done.append(given)
            spin({milliseconds})

        def test_it(energy):
            (twin,) = pick((), ["text-generation/gpt2"], twins())
            queries.measure_in_full(energy, Inference(twin, query, ["a", "b"]))
            assert len(done) == 1000 + queries.WARM_UP_QUERIES
            assert abs(done.count("a") - done.count("b")) <= 1
        """
    )
    energy_pytester.run_process().assert_outcomes(passed=1)
    tests = energy_pytester.record()["tests"]
    assert len(tests) == windows
    assert sum(each["rounds"][0]["units"] for each in tests) == 1000


# -- by CodeCarbon -------------------------------------------------------------------------


@pytest.mark.realtime
def test_codecarbon_counts_the_whole_machine_and_a_constant_for_memory() -> None:
    def query(milliseconds: float) -> None:
        from time import process_time

        end = process_time() + milliseconds / 1000
        while process_time() < end:
            pass

    found = codecarbon_way.count(query, [20.0, 30.0], seconds=60, queries=40)
    assert found.queries == 40
    assert found.seconds >= 40 * 0.02
    parts = found.gpu_joules_per_unit + found.cpu_joules_per_unit + found.ram_joules_per_unit
    assert found.joules_per_unit == pytest.approx(parts)
    # By the clock, whatever the memory did: the window is a little longer than the queries.
    by_clock = found.ram_watts * found.seconds / found.queries
    assert by_clock <= found.ram_joules_per_unit < 3 * by_clock


#: A study's run in which nothing is loaded or measured; CodeCarbon's part notes who holds the lock.
STAND_INS = """
from pathlib import Path

from pytest_energy.record.lock import read_holder
from pytest_energy.study.running import codecarbon_way, plugin

def count(query, inputs, seconds, queries):
    Path("holder").write_text(str(read_holder(Path("locks", "cpu.lock"))))
    return codecarbon_way.CodeCarbonFigure(
        version="3", queries=1, seconds=1.0, joules_per_unit=1.0, gpu_joules_per_unit=0.0,
        cpu_joules_per_unit=1.0, ram_joules_per_unit=0.0, cpu_watts=1.0, ram_watts=0.0,
    )

plugin.why_impossible = lambda method: ""
plugin.device_for = lambda device: "cpu"
plugin.measure_queries = lambda energy, inference: None
codecarbon_way.count = count
"""


def test_codecarbon_counts_under_the_lock_of_the_folder_that_was_asked_for(
    energy_pytester: EnergyPytester,
) -> None:
    path = energy_pytester.pytester.path
    energy_pytester.pytester.makeconftest(STAND_INS)
    energy_pytester.pytester.makepyfile(
        test_it="""
        from types import SimpleNamespace

        def test_it(measure):
            measure(None, SimpleNamespace(query=None, inputs=[]))
        """
    )
    options = ["-p", "pytest_energy.study.running.plugin", "--study-method=codecarbon"]
    assert not (path / "locks").exists()
    energy_pytester.run_process(*options).assert_outcomes(passed=1)
    assert (path / "holder").read_text().startswith("test_it.py::test_it (process ")
    assert (path / "locks" / "cpu.lock").exists()


# -- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["study", "run"], ["study"]])
def test_the_command_refuses_an_unknown_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*words, "--task", "chess"])
    assert result.exit_code == 2
    assert "pytest-energy study run: unknown task 'chess'" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(HAS_TORCH, reason="torch is installed")
def test_without_torch_the_command_names_the_extra_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, energy_pytester: EnergyPytester
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["study"])
    assert result.exit_code == 2
    assert 'pip install "pytest-energy[transformers]"' in result.stderr
    energy_pytester.write("def test_it(): pass")
    run = energy_pytester.run_process("-p", "pytest_energy.study.running.plugin")
    run.stderr.fnmatch_lines(['*pip install "pytest-energy[[]transformers[]]"*'])


def test_without_codecarbon_its_method_names_the_extra_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("torch", "transformers"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    assert why_impossible("ours") == ""
    assert 'pip install "pytest-energy[carbon]"' in why_impossible("codecarbon")


def test_the_command_ends_with_the_next_commands_for_its_results(tmp_path: Path) -> None:
    assert command.ending(Choice(), "energy-study", 1261.0) == [
        "results: energy-study, after 21 min",
        "compare with the study: pytest-energy study compare energy-study/*/*.json",
    ]
    own = Choice(tasks=("fill-mask",), model=str(tmp_path))
    place = "pytest-energy study place energy-study/fill-mask/*.json"
    assert place + " (needs a model" in command.ending(own, "energy-study", 9.0)[1]
    assert command.ending(replace(own, names=("*",)), "energy-study", 9.0)[1].endswith(place)


@pytest.mark.parametrize(
    ("status", "ours", "message"),
    [
        (0, 0, ""),
        (5, 0, ""),
        (1, 1, "some models were not measured or exceed a limit; see log"),
        (2, 1, "interrupted; run the same command again to continue"),
        (4, 2, "pytest ended with exit status 4; see log"),
        (-9, 2, "pytest was ended by SIGKILL; see log"),
    ],
)
def test_the_exit_status_shows_whether_all_models_were_measured(
    status: int, ours: int, message: str
) -> None:
    lines: list[str] = []
    assert command.status_of(status, Path("log"), lines.append) == ours
    assert lines == ([message] if message else [])
