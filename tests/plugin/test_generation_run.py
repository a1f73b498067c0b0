"""energy.measure_generation in real test files."""

from __future__ import annotations

import pytest

from conftest import EnergyPytester

GENERATE = """
def generate(prompt, new_tokens):
    spin(0.2 + 0.01 * len(prompt) + 0.05 * new_tokens)
    return [0] * new_tokens

PROMPTS = {10: "a" * 10, 100: "a" * 100}
"""


@pytest.mark.usefixtures("no_contention")
def test_a_limit_names_a_part_of_a_request(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        GENERATE
        + """
@budget(["10 J / decode-token", "0.01 mJ / prefill-token"])
def test_it(energy):
    result = energy.measure_generation(generate, prompts=PROMPTS, new_tokens=(1, 100))
    assert result == [0] * 100

@budget
def test_counted(energy):
    units = {"output-tokens": len}
    energy.measure_generation(generate, prompts=PROMPTS, new_tokens=(1, 100), units=units)
"""
    )
    result = energy_pytester.run("-v", "--energy-max-seconds=0.7")
    tests = energy_pytester.record()["tests"]
    assert [(each["unit"], each["method"]) for each in tests] == [
        ("decode-token", "estimated"),
        ("prefill-token", "estimated"),
        ("decode-token", "estimated"),
        ("prefill-token", "estimated"),
        ("empty-request", "estimated"),
    ]
    assert all(
        (each["input_tokens"], each["output_tokens"]) in {(10, 1), (10, 100), (100, 1), (100, 100)}
        for test in tests
        for each in test["parts"]["cells"]
    )
    result.stdout.fnmatch_lines(
        [
            "test_it: the parts of a request are * / empty-request + *",
            "  a request with 10 input and 1 output tokens: * beside its*",
        ]
    )


MISUSED = {
    "energy.measure_generation(generate, prompts={10: 'a'})": "prompts of two or more lengths",
    "energy.measure_generation(generate, prompts=PROMPTS, new_tokens=(5,))": "two or more numbers",
    "energy.measure_generation(generate, prompts=PROMPTS, new_tokens=(0, 5))": "two or more numb",
    "energy.measure_generation(3, prompts=PROMPTS)": "3 can't be called",
    "energy.measure_generation(generate, prompts=PROMPTS, units={'token': 'a'})": "is neither",
    "energy.measure_generation(generate, prompts=PROMPTS)": 'limit "1 J / output-token" (test_it',
    "energy.measure(spin)": "they are parts of a request; energy.measure_generation measures what",
}


def test_misuse_is_an_error_of_the_test(energy_pytester: EnergyPytester) -> None:
    limits = {5: "'1 J / output-token'", 6: "'1 J / decode-token'"}
    energy_pytester.write(
        GENERATE
        + "".join(
            f"@budget({limits.get(i, '')})\ndef test_{i}(energy):\n    {line}\n\n"
            for i, line in enumerate(MISUSED)
        )
    )
    result = energy_pytester.run()
    result.assert_outcomes(errors=len(MISUSED))
    report = result.stdout.str()
    for i, why in enumerate(MISUSED.values()):
        section = report.partition(f" ERROR at call of test_{i} ")[2].partition("\n____")[0]
        assert why in section
