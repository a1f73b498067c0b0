"""The page: one file without a script, and a policy that allows its own style and nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from urllib.parse import quote

from pytest_energy.errors import InputError
from pytest_energy.record.schema import RunRecord
from pytest_energy.report.advice import Conclusion
from pytest_energy.report.by_task import Published
from pytest_energy.report.html.comparison import ComparisonView
from pytest_energy.report.html.measurement import shortened
from pytest_energy.report.html.view import view_of
from pytest_energy.units import energy, figure, percent, plural

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined
except ModuleNotFoundError:
    raise InputError('HTML needs Jinja2: pip install "pytest-energy[report]"') from None

#: What a browser tab shows, by the run's tone.
_ICONS = {"good": ("#1a7f37", "M4 8l3 3 5-6"), "bad": ("#cf222e", "M5 5l6 6M11 5l-6 6")}
_NEUTRAL_ICON = ("#59636e", "M4 8h8")


def render_page(record: RunRecord, published: Sequence[Published] = ()) -> str:
    """The report as HTML.

    published: figures of others that stand beside the run's own.
    """
    view = view_of(record, published)
    return _rendered("report.html", view.conclusion, view, view.heads, view.load_heads)


def render_comparison_page(view: ComparisonView) -> str:
    """Old and new side by side as HTML."""
    return _rendered("comparison.html", view.conclusion, view)


def _rendered(
    name: str,
    conclusion: Conclusion,
    view: object,
    heads: Sequence[str] = (),
    load_heads: Sequence[str] = (),
) -> str:
    environment = _environment()
    css = environment.get_template("report.css")
    style = css.render(heads=heads, load_heads=load_heads).strip()
    return environment.get_template(name).render(
        view=view,
        conclusion=conclusion,
        style=style,
        policy=_policy(style),
        icon=_icon(conclusion.tone),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pytest_energy.report.html"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent, energy=energy, figure=figure, plural=plural, short=shortened
    )
    return environment


def _policy(style: str) -> str:
    """A Content-Security-Policy that knows the style by its hash."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _icon(tone: str) -> str:
    colour, path = _ICONS.get(tone, _NEUTRAL_ICON)
    picture = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
        f'<circle cx="8" cy="8" r="8" fill="{colour}"/>'
        f'<path d="{path}" stroke="#fff" stroke-width="2" fill="none"/></svg>'
    )
    return f"data:image/svg+xml,{quote(picture)}"
