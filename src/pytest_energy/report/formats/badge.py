"""A badge as one SVG file, which needs no server and no font."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from pytest_energy.record.schema import RunRecord
from pytest_energy.report.verdict_badge import badge_of

#: Pixels of a character at this size, which `textLength` then holds in every font.
_CHARACTER, _SIZE = 6.6, 11
_PADDING, _HEIGHT = 10, 20


def render(record: RunRecord) -> str:
    """SVG with a title for screen readers; white on dark has a contrast of 4.5 or more."""
    badge = badge_of(record)
    left, right = (_CHARACTER * len(each) + _PADDING for each in (badge.label, badge.message))
    width = left + right
    named = f"{badge.label}: {badge.message}"
    texts = (
        _text(badge.label, left / 2),
        _text(badge.message, left + right / 2),
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{_HEIGHT}" '
        f'viewBox="0 0 {width:g} {_HEIGHT}" role="img" aria-label={quoteattr(named)}>\n'
        f"<title>{escape(named)}</title>\n"
        f'<rect width="{left:g}" height="{_HEIGHT}" fill="#424242"/>\n'
        f'<rect x="{left:g}" width="{right:g}" height="{_HEIGHT}" fill="{badge.colour}"/>\n'
        f'<g fill="#fff" font-family="sans-serif" font-size="{_SIZE}" text-anchor="middle">\n'
        + "\n".join(texts)
        + "\n</g>\n</svg>\n"
    )


def _text(text: str, middle: float) -> str:
    length = _CHARACTER * len(text)
    return f'<text x="{middle:g}" y="14" textLength="{length:g}">{escape(text)}</text>'
