"""Command line > environment > ini file > default, and mistakes in them."""

from __future__ import annotations

import json

import pytest

from conftest import EnergyPytester
from pytest_energy.plugin.options import COMMAND_LINE_ONLY, OPTIONS, SWITCHES

MARKED = '@budget("1 kJ / query")\ndef test_it():\n    spin()\n'


def test_the_command_line_wins_over_environment_over_ini(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    energy_pytester.write(MARKED)
    energy_pytester.pytester.makeini("[pytest]\nenergy_cpu_watts_per_core = 5\n")

    def watts(*options: str) -> str:
        energy_pytester.run(*options).assert_outcomes(passed=1)
        (channel,) = energy_pytester.tests()["test_it"]["channels"]
        return str(channel["source"]).rpartition(" x ")[2]

    assert watts() == "5 W a core"
    monkeypatch.setenv("PYTEST_ENERGY_CPU_WATTS_PER_CORE", "6")
    assert watts() == "6 W a core"
    assert watts("--energy-cpu-watts-per-core=7") == "7 W a core"


def test_pytests_own_help_shows_each_option(energy_pytester: EnergyPytester) -> None:
    result = energy_pytester.pytester.runpytest_inprocess("--help")
    assert result.ret == 0
    flags = [each.flag for each in (*OPTIONS, *SWITCHES)] + [each[0] for each in COMMAND_LINE_ONLY]
    for flag in flags:
        result.stdout.fnmatch_lines([f"*{flag}*"])
    assert result.stdout.str().count("PYTEST_ENERGY_") == 1  # their twins are named once


def test_all_mistakes_are_reported_before_any_test_runs(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    energy_pytester.write(MARKED)
    energy_pytester.pytester.makeini("[pytest]\nenergy_fail_on = fail, burn\n")
    monkeypatch.setenv("PYTEST_ENERGY_MAX_SECONDS", "soon")
    result = energy_pytester.run(
        "--energy-gpus=first",
        "--energy-max-rounds=21",
        "--energy-require=luck",
        "--energy-carbon-intensity=300",
        "--energy-json=.",
        quick=False,
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: --energy-gpus: 'first' is neither a GPU's index nor its UUID*",
            "--energy-max-rounds: '21' is not a whole number from 1 to 20*",
            "PYTEST_ENERGY_MAX_SECONDS: 'soon' is not a number above zero; for example 60",
            "energy_fail_on in tox.ini: 'burn' is not a verdict; choose from *",
            "--energy-require: 'luck' is not known*",
            "--energy-carbon-intensity: carbon intensity '300' *\"300 gCO2e/kWh\"",
            "--energy-json: '.' is not a file's path*",
        ]
    )


@pytest.mark.parametrize("text", ["0 gCO2e/kWh", "-1 gCO2e/kWh", "300 g/kWh", "nan gCO2e/kWh"])
def test_an_intensity_that_is_none_is_refused(energy_pytester: EnergyPytester, text: str) -> None:
    energy_pytester.write(MARKED)
    result = energy_pytester.run(f"--energy-carbon-intensity={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_carbon_limits_are_judged_in_joules_at_the_printed_intensity(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        @budget("1 mgCO2e / query")
        def test_under():
            spin(5)

        @budget("1 mgCO2e / 1k queries")
        def test_over():
            spin(5)
        """
    )
    result = energy_pytester.run("--energy-carbon-intensity=360 gCO2e/kWh")
    result.assert_outcomes(passed=1, failed=1)
    # 5 CPU milliseconds are 20 mJ; at 360 g/kWh, that is 0.1 mg a joule, 2 mg per 1000
    result.stdout.fnmatch_lines(
        ["energy: * / query ([12].?? mgCO2e / 1000 queries) is over the limit of 1.00 mgCO2e / *"]
    )
    assert "at 360 gCO2e/kWh (--energy-carbon-intensity)" in result.stdout.str()
    result.stdout.fnmatch_lines(["*mJ/unit mgCO2e/1000*"])
    test = energy_pytester.tests()["test_over"]
    assert test["grams_per_unit"] == pytest.approx(test["joules_per_unit"] * 1e-4)
    assert test["limit_joules_per_unit"] == pytest.approx(0.01)
    assert energy_pytester.record()["carbon"] == {
        "grams_per_kwh": 360,
        "source": "--energy-carbon-intensity",
        "description": "360 gCO2e/kWh (--energy-carbon-intensity), year not given",
        "year": None,
        "basis": "location",
        "pue": 1.0,
        "embodied": [],
    }


def test_the_ini_file_may_pin_the_intensity(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(MARKED)
    energy_pytester.pytester.makeini("[pytest]\nenergy_carbon_intensity = 300 gCO2e/kWh\n")
    energy_pytester.run().assert_outcomes(passed=1)
    carbon = energy_pytester.record()["carbon"]
    assert carbon["source"] == "energy_carbon_intensity in tox.ini"


def test_verdicts_that_fail_can_be_chosen(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write('@budget("1 kJ / query", scope="gpu")\ndef test_it():\n    spin(5)\n')
    energy_pytester.run("--energy-gpus=none").assert_outcomes(failed=1)
    assert energy_pytester.tests()["test_it"]["verdict"] == "unmeasured"
    energy_pytester.run("--energy-gpus=none", "--energy-fail-on=fail,inconclusive").assert_outcomes(
        passed=1
    )
    energy_pytester.run("--energy-gpus=none", "--energy-fail-on=none").assert_outcomes(passed=1)
    assert energy_pytester.tests()["test_it"]["verdict"] == "unmeasured"
    energy_pytester.write("@budget\ndef test_it():\n    spin(5)\n")
    energy_pytester.run().assert_outcomes(passed=1)
    energy_pytester.run("--energy-strict").assert_outcomes(failed=1)


def test_requiring_a_counter_makes_an_estimate_unmeasured(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        '@budget("1 kJ / query")\ndef test_joules():\n    spin()\n\n'
        '@budget("1 cpu-s / query")\ndef test_cpu_time():\n    spin()\n'
    )
    energy_pytester.run("--energy-require=measured").assert_outcomes(failed=1, passed=1)
    tests = energy_pytester.tests()
    assert tests["test_joules"]["verdict"] == "unmeasured"
    assert "cpu:process is estimated" in tests["test_joules"]["reason"]
    assert tests["test_cpu_time"]["verdict"] == "pass"


def test_a_record_that_cannot_be_written_fails_the_build(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(MARKED)
    energy_pytester.pytester.makefile("", blocked="a file where a folder should be")
    result = energy_pytester.run("--energy-json=blocked/record.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["--energy-json: *blocked/record.json can't be written: *"])


def test_the_record_is_whole_even_without_tests(energy_pytester: EnergyPytester) -> None:
    energy_pytester.pytester.makepyfile(test_it="def test_it(): pass")
    energy_pytester.run("--energy-json=new/folder/record.json").assert_outcomes(passed=1)
    path = energy_pytester.pytester.path / "new" / "folder" / "record.json"
    record = json.loads(path.read_bytes())
    assert (record["schema"], record["tests"]) == (1, [])


def test_a_record_is_kept_when_nothing_was_to_be_measured(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(MARKED)
    energy_pytester.run().assert_outcomes(passed=1)
    before = energy_pytester.record()
    for option in ("--collect-only", "--setup-only", "--setup-plan", "--energy-disable"):
        energy_pytester.run(option)
        assert energy_pytester.record() == before


def test_a_link_keeps_pointing_and_a_device_is_refused(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(MARKED)
    target = energy_pytester.pytester.path / "target.json"
    energy_pytester.record_path.symlink_to(target)
    energy_pytester.run().assert_outcomes(passed=1)
    assert energy_pytester.record_path.is_symlink()
    assert target.is_file()
    result = energy_pytester.run("--energy-json=/dev/null")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize(
    ("name", "is_replaced"), [("energy.jsonl", True), ("energy-baselines/runner.jsonl", False)]
)
def test_an_output_replaces_one_of_an_earlier_run_and_no_baseline(
    energy_pytester: EnergyPytester, name: str, is_replaced: bool
) -> None:
    energy_pytester.write("def test_it():\n    pass\n")
    path = energy_pytester.pytester.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    result = energy_pytester.pytester.runpytest_inprocess(f"--energy-json={name}")
    assert result.ret == (0 if is_replaced else 4)
    assert bool(path.read_text(encoding="utf-8")) == is_replaced


def test_text_that_is_not_unicode_is_kept(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write('@budget("1 kJ / query", task="\\ud800")\ndef test_it():\n    spin()\n')
    energy_pytester.run().assert_outcomes(passed=1)
    assert energy_pytester.tests()["test_it"]["task"] == "\ud800"


def test_an_empty_setting_is_unset(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    energy_pytester.write(MARKED)
    energy_pytester.pytester.makeini("[pytest]\nenergy_require = measured\n")
    monkeypatch.setenv("PYTEST_ENERGY_GPUS", "")
    energy_pytester.run().assert_outcomes(failed=1)
    energy_pytester.run("--energy-require=any").assert_outcomes(passed=1)


@pytest.mark.parametrize("named", ["../elsewhere", ".", "/tmp"])
def test_a_projects_ini_file_names_no_lock_folder_outside(
    energy_pytester: EnergyPytester, named: str
) -> None:
    pytester = energy_pytester.pytester
    outside = pytester.path.parent / "elsewhere"
    outside.mkdir(mode=0o700, exist_ok=True)
    pytester.makeini(f"[pytest]\nenergy_lock_folder = {named}\n")
    pytester.makepyfile("import pytest\n@pytest.mark.energy_budget\ndef test_it(): pass\n")
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"*energy_lock_folder in tox.ini: '{named}' is not inside the project*"]
    )
    assert outside.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("PYTEST_ENERGY_MAX_SECOND", "did you mean PYTEST_ENERGY_MAX_SECONDS?"),
        ("PYTEST_ENERGY_GPU", "did you mean PYTEST_ENERGY_GPUS?"),
        ("PYTEST_ENERGY_STRIC", "did you mean PYTEST_ENERGY_STRICT?"),
        ("PYTEST_ENERGY_JSON", "write --energy-json into PYTEST_ADDOPTS"),
        ("PYTEST_ENERGY_ZZZZ", "known: PYTEST_ENERGY_GPUS, *"),
    ],
)
def test_an_unknown_variable_is_reported(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setenv(name, "1")
    energy_pytester.write(MARKED)
    result = energy_pytester.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {name}: unknown variable; {said}"])


@pytest.mark.parametrize("twin", ["variable", "ini"])
def test_measuring_is_switched_off_by_each_twin(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch, twin: str
) -> None:
    energy_pytester.write(MARKED)
    if twin == "variable":
        monkeypatch.setenv("PYTEST_ENERGY_DISABLE", "true")
        origin = "PYTEST_ENERGY_DISABLE"
    else:
        energy_pytester.pytester.makeini("[pytest]\nenergy_disable = true\n")
        origin = "energy_disable in tox.ini"
    result = energy_pytester.run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"{origin}: 1 test ran once, unmeasured"])
    if twin == "ini":
        monkeypatch.setenv("PYTEST_ENERGY_DISABLE", "0")
        assert "unmeasured" not in energy_pytester.run().stdout.str()


@pytest.mark.parametrize("twin", ["variable", "ini"])
def test_strictness_is_switched_on_by_each_twin(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch, twin: str
) -> None:
    energy_pytester.write("@budget\ndef test_it():\n    spin()\n")
    if twin == "variable":
        monkeypatch.setenv("PYTEST_ENERGY_STRICT", "1")
    else:
        energy_pytester.pytester.makeini("[pytest]\nenergy_strict = true\n")
    energy_pytester.run().assert_outcomes(failed=1)
    monkeypatch.setenv("PYTEST_ENERGY_STRICT", "false")
    energy_pytester.run().assert_outcomes(passed=1)


def test_a_switch_takes_true_or_false(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ENERGY_STRICT", "very")
    energy_pytester.write(MARKED)
    result = energy_pytester.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: PYTEST_ENERGY_STRICT: 'very' is not known; write true or false"]
    )
