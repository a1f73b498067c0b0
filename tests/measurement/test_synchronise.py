"""Work that was given to a device is waited for, so that it lies in the window."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import FAKES, EnergyPytester, compiled


@pytest.fixture(scope="module")
def fake_cuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fake_cuda")
    return compiled(FAKES / "fake_cuda" / "fake_cuda.c", folder / "libcuda.so.1")


def cuda_calls(
    bench: EnergyPytester,
    monkeypatch: pytest.MonkeyPatch,
    library: Path,
    *,
    active: str | None,
    head: str,
) -> list[str]:
    """What the driver is told while a test of one round of warm-up and one round is measured."""
    log = bench.pytester.path / "cuda.log"
    monkeypatch.setenv("FAKE_CUDA_LOG", str(log))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent))
    if active is not None:
        monkeypatch.setenv("FAKE_CUDA_ACTIVE", active)
    bench.write(f"{head}\n@budget('1 kJ / query', scope='cpu')\ndef test_it():\n    spin(300)\n")
    bench.run_process().assert_outcomes(passed=1)
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


LOADED = "import ctypes\nctypes.CDLL('libcuda.so.1')"


def test_cuda_is_waited_for_on_the_devices_that_have_a_context(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch, fake_cuda: Path
) -> None:
    calls = cuda_calls(energy_pytester, monkeypatch, fake_cuda, active="0,2", head=LOADED)
    windows = len(energy_pytester.tests()["test_it"]["rounds"])
    each = [
        f"{what} {device}" for device in (0, 2) for what in ("retain", "synchronise", "release")
    ]
    # Where a window opens, when its length is looked at, and where it closes.
    assert calls == each * 3 * windows


@pytest.mark.parametrize(("active", "head"), [("0,2", ""), (None, LOADED)], ids=["load", "init"])
def test_the_driver_is_neither_loaded_nor_initialised(
    energy_pytester: EnergyPytester,
    monkeypatch: pytest.MonkeyPatch,
    fake_cuda: Path,
    active: str | None,
    head: str,
) -> None:
    assert cuda_calls(energy_pytester, monkeypatch, fake_cuda, active=active, head=head) == []


#: JAX's names: results are computed by the time somebody waits for them.
JAX = """
from spin import spin

waiting = []

class Array:
    def __init__(self):
        waiting.append(self)

def block_until_ready(results):
    for each in results if isinstance(results, list) else [results]:
        if each in waiting:
            waiting.remove(each)
            spin(50)
    return results

def live_arrays():
    return list(waiting)
"""


@pytest.mark.parametrize(
    "body",
    [
        "def test_it(energy):\n    energy.measure(jax.Array)",
        "async def test_it(energy):\n    await energy.measure_async(later)",
        "def test_it(energy):\n    with energy.window():\n        jax.Array()",
        "def test_it():\n    jax.Array()",
    ],
)
def test_jax_computes_in_the_window(energy_pytester: EnergyPytester, body: str) -> None:
    # JAX is a package of its own size: the real one runs in test_model.py.
    energy_pytester.pytester.makepyfile(jax=JAX)
    energy_pytester.pytester.mkpydir("_src")
    energy_pytester.write(
        "import jax, sys, types\n"
        "sys.modules['jax._src.xla_bridge'] = types.SimpleNamespace(_backends={'cpu': 1})\n"
        "async def later():\n    return jax.Array()\n"
        f"@budget('1 kJ / query')\n@pytest.mark.anyio\n{body}\n"
    )
    energy_pytester.run_process()
    for test in energy_pytester.tests().values():  # anyio's runs on two event loops
        assert test["verdict"] in ("pass", "inconclusive")
        assert 0.99 * 0.05 <= test["cpu_seconds_per_unit"] < 0.075
        assert sum(each["seconds"] for each in test["rounds"]) < 2


def test_a_device_of_jax_that_no_sensor_reads_is_unmeasured(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.pytester.makepyfile(jax=JAX)
    energy_pytester.write(
        "import jax, sys, types\n"
        "sys.modules['jax._src.xla_bridge'] = types.SimpleNamespace(_backends={'tpu': 1})\n"
        "@budget('1 kJ / query')\ndef test_it():\n    spin()\n"
    )
    energy_pytester.run_process().assert_outcomes(failed=1)
    test = energy_pytester.tests()["test_it"]
    assert test["verdict"] == "unmeasured"
    assert test["reason"] == "a JAX device (tpu) was used, and no sensor reads it"
