"""CodeCarbon's emissions.csv: a row for each measurement, with the columns of CodeCarbon 3.3.2.

As CodeCarbon does, energy and power hold the overhead of the data centre (pue), energy is in kWh,
emissions in kg of CO2e and power in watts. What isn't known is empty, and never 0.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from pytest_energy.record.schema import RunRecord
from pytest_energy.report.quantities import Measured, measured
from pytest_energy.report.spreadsheet import cell
from pytest_energy.sensors.base import Kind
from pytest_energy.units import JOULES_PER_KWH

COLUMNS = (
    *("timestamp", "project_name", "run_id", "experiment_id", "duration", "emissions"),
    *("emissions_rate", "cpu_power", "gpu_power", "ram_power", "cpu_energy", "gpu_energy"),
    *("ram_energy", "energy_consumed", "water_consumed", "country_name", "country_iso_code"),
    *("region", "cloud_provider", "cloud_region", "os", "python_version", "codecarbon_version"),
    *("cpu_count", "cpu_model", "gpu_count", "gpu_model", "longitude", "latitude"),
    *("ram_total_size", "tracking_mode", "cpu_utilization_percent", "gpu_utilization_percent"),
    *("ram_utilization_percent", "ram_used_gb", "on_cloud", "pue", "wue"),
)
_KINDS = {Kind.CPU: "cpu", Kind.GPU: "gpu", Kind.DRAM: "ram"}


def render(record: RunRecord) -> str:
    """The rounds of each measurement, warm-up left out, as one run of CodeCarbon."""
    output = io.StringIO()
    writer = csv.DictWriter(output, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for each in measured(record):
        row = _row(each)
        writer.writerow({name: cell(row.get(name)) for name in COLUMNS})
    return output.getvalue()


def _row(each: Measured) -> dict[str, object]:
    test, session = each.test, each.session
    rounds = [one for one in test.rounds if not one.warmup]
    seconds = sum(one.seconds for one in rounds)
    units = sum(one.units for one in rounds)
    kwh = each.joules * units * each.pue / JOULES_PER_KWH
    kilograms = None
    if session.carbon is not None:
        kilograms = kwh * session.carbon.grams_per_kwh / 1000
    processes = all(one.name == "cpu:process" for one in test.channels if one.gated)
    return {
        "timestamp": session.run.end[:19],
        # CodeCarbon has no column for how joules are known.
        "project_name": f"{each.label} ({each.evidence}, {units:.12g} x {test.unit})",
        "run_id": session.run.uuid,
        "experiment_id": each.evidence,
        "duration": seconds,
        "emissions": kilograms,
        "emissions_rate": kilograms / seconds if kilograms is not None and seconds else None,
        "energy_consumed": kwh,
        **_channels(each, kwh, seconds),
        "os": f"{session.machine.os}-{session.machine.architecture}".strip("-"),
        "python_version": session.run.versions.get("python"),
        "codecarbon_version": session.run.versions.get("codecarbon"),
        "cpu_count": session.machine.cpu_count or None,
        "cpu_model": session.machine.cpu,
        "gpu_count": len(session.machine.gpus) or None,
        "gpu_model": ", ".join(dict.fromkeys(one.name for one in session.machine.gpus)),
        "tracking_mode": "process" if processes else "machine",
        "pue": each.pue,
    }


def _channels(each: Measured, kwh: float, seconds: float) -> Mapping[str, object]:
    """Energy and power of each kind of hardware that the figure covers, which add up to it."""
    joules: dict[str, float] = {}
    for one in each.test.channels:
        if one.gated and one.joules_per_unit is not None:
            if one.kind not in set(_KINDS):  # the whole machine
                return {}
            name = _KINDS[Kind(one.kind)]
            joules[name] = joules.get(name, 0.0) + one.joules_per_unit
    total = sum(joules.values())
    cells: dict[str, object] = {}
    for name, amount in joules.items() if total else ():
        cells[f"{name}_energy"] = kwh * amount / total
        if seconds:
            cells[f"{name}_power"] = kwh * amount / total * JOULES_PER_KWH / seconds
    return cells
