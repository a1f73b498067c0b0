"""Properties in JUnit's file: their names are a setting, and each family holds them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from conftest import EnergyPytester

TEST = "@budget('0.001 mJ / query')\ndef test_it():\n    spin(5)\n"


def properties(project: EnergyPytester, *options: str) -> dict[str, str]:
    path = project.pytester.path / "junit.xml"
    project.run(f"--junit-xml={path}", *options)
    return {
        str(each.get("name")): str(each.get("value"))
        for each in ElementTree.parse(path).iter("property")
    }


@pytest.mark.parametrize("family", ["xunit1", "xunit2", "legacy"])
@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_names_can_be_chosen(
    energy_pytester: EnergyPytester, family: str, workers: tuple[str, ...]
) -> None:
    energy_pytester.write(TEST)
    found = properties(
        energy_pytester,
        f"-ojunit_family={family}",
        "--energy-junit-property=dd_tags[{name}]",
        "--energy-carbon-intensity=300 gCO2e/kWh",
        *workers,
    )
    (test,) = energy_pytester.record()["tests"]
    assert found == {
        "dd_tags[energy.verdict]": "fail",
        "dd_tags[energy.method]": "estimated",
        "dd_tags[energy.unit]": "query",
        "dd_tags[energy.code]": test["code"],
        "dd_tags[energy.joules_per_unit]": str(test["joules_per_unit"]),
        "dd_tags[energy.grams_per_unit]": str(test["grams_per_unit"]),
    }


def test_a_rerun_replaces_properties_of_any_name(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(TEST)
    path = energy_pytester.pytester.path / "junit.xml"
    energy_pytester.run(
        f"--junit-xml={path}", "--reruns=1", "--energy-junit-property=a[{name}]"
    ).assert_outcomes(failed=1)
    for case in ElementTree.parse(path).iter("testcase"):
        names = [str(each.get("name")) for each in case.iter("property")]
        assert len(names) == len(set(names)) == 5


@pytest.mark.parametrize("template", ["dd_tags", "{name}{name}", "{name", "a{name}\u202e"])
def test_a_template_without_the_name_is_refused(
    energy_pytester: EnergyPytester, template: str
) -> None:
    energy_pytester.write(TEST)
    result = energy_pytester.run_process(f"--energy-junit-property={template}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert 'for example "dd_tags[{name}]"' in result.stderr.str()
