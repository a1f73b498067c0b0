"""Energy as the study measured it: by CodeCarbon's tracker for the whole machine.

It adds what it can read (counters of GPUs and CPUs) to what it estimates (a processor without
counters by its load, memory by its size), for all that the machine does. So it is shown, and never
gated.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pytest_energy.record.plain import from_plain
from pytest_energy.record.project_files import write_text
from pytest_energy.study.points import Evidence, Point
from pytest_energy.units import JOULES_PER_KWH

#: The tracker's first task takes a second or more and would be charged with it.
WARM_UP_SECONDS = 2.0
#: Of the files that hold its figures.
ENDING = ".codecarbon.json"


@dataclass(frozen=True, kw_only=True)
class CodeCarbonFigure:
    """The tracker's figure for a number of queries, in joules for one.

    cpu_watts, ram_watts: the power that it assumed for the processor and the memory.
    """

    version: str
    queries: int
    seconds: float
    joules_per_unit: float
    gpu_joules_per_unit: float
    cpu_joules_per_unit: float
    ram_joules_per_unit: float
    cpu_watts: float
    ram_watts: float

    def instead_of(self, point: Point) -> Point:
        """The same model as this tracker counted it."""
        times = self.joules_per_unit / point.joules_per_unit
        grams = point.grams_per_unit
        return replace(
            point,
            joules_per_unit=self.joules_per_unit,
            interval=None,
            grams_per_unit=None if grams is None else grams * times,
            evidence=Evidence(point.evidence.hardware, f"CodeCarbon {self.version}", ()),
        )


def count(
    query: Callable[[Any], Any], inputs: Sequence[Any], seconds: float, queries: int
) -> CodeCarbonFigure:
    """Run as many queries as fit into `seconds`, at most `queries`, under its tracker.

    Raises RuntimeError where the tracker can't be made.
    """
    from importlib.metadata import version

    tracker = machine_tracker(measure_power_seconds=1)  # as the study had it
    tracker.start_task("warm-up")
    time.sleep(WARM_UP_SECONDS)
    tracker.stop_task("warm-up")
    tracker.start_task("query model")
    started = time.perf_counter()
    done = 0
    while done < queries and (done == 0 or time.perf_counter() - started < seconds):
        query(inputs[done % len(inputs)])
        done += 1
    took = time.perf_counter() - started
    found = tracker.stop_task("query model")
    tracker.stop()

    def joules(kwh: float) -> float:
        return float(kwh) * JOULES_PER_KWH / done

    return CodeCarbonFigure(
        version=version("codecarbon"),
        queries=done,
        seconds=took,
        joules_per_unit=joules(found.energy_consumed),
        gpu_joules_per_unit=joules(found.gpu_energy),
        cpu_joules_per_unit=joules(found.cpu_energy),
        ram_joules_per_unit=joules(found.ram_energy),
        cpu_watts=float(found.cpu_power),
        ram_watts=float(found.ram_power),
    )


def machine_tracker(measure_power_seconds: float) -> Any:
    """Its tracker of the whole machine, of which only the energy is used.

    Every argument is passed: those that aren't could come from a file or the environment. Raises
    RuntimeError where it can't be made.
    """
    from codecarbon import OfflineEmissionsTracker

    tracker = OfflineEmissionsTracker(
        project_name="pytest-energy",
        measure_power_secs=measure_power_seconds,
        api_call_interval=8,
        api_endpoint="",
        api_key="",
        output_dir=".",
        output_file="emissions.csv",
        output_methods=[],
        logging_logger=None,
        prometheus_url="",
        output_handlers=[],
        gpu_ids=None,
        emissions_endpoint=None,
        experiment_id="",
        experiment_name="",
        electricitymaps_api_token=None,
        tracking_mode="machine",
        log_level="error",
        on_csv_write="append",
        logger_preamble="",
        force_cpu_power=None,
        force_ram_power=None,
        pue=1.0,
        wue=0.0,
        force_carbon_intensity_g_co2e_kwh=100.0,  # only its energy is used
        force_mode_cpu_load=False,
        allow_multiple_runs=True,
        rapl_include_dram=False,
        rapl_prefer_psys=False,
        metadata=None,
        country_iso_code="USA",
        region=None,
        cloud_provider=None,
        cloud_region=None,
        country_2letter_iso_code=None,
    )
    # Its constructor swallows every error.
    if not hasattr(tracker, "_tasks"):
        raise RuntimeError("CodeCarbon's tracker could not be made; its log says why")
    return tracker


def codecarbon_path(result: Path) -> Path:
    """The file of CodeCarbon's figure, next to that of the result."""
    return result.with_suffix(ENDING)


def write_figure(figure: CodeCarbonFigure, path: Path) -> None:
    """Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(asdict(figure), indent=1) + "\n")


def read_figure(path: Path) -> CodeCarbonFigure | None:
    """None where there is none. Raises RecordError for a file that holds something else."""
    if not path.exists():
        return None
    found: CodeCarbonFigure = from_plain(
        CodeCarbonFigure, json.loads(path.read_bytes()), str(path.name)
    )
    return found
