"""The picture of a sweep over concurrencies, and the table beside it."""

from __future__ import annotations

from dataclasses import replace

from pages import Element, assert_is_accessible, assert_is_closed, page_of
from records import RECORD, UNMEASURED, budget_record
from session_records import measured

from pytest_energy.record.schema import LoadRecord, TestRecord
from pytest_energy.report.html.page import render_page

LIMIT = budget_record("8 J / output-token", origin="tests/test_q.py:4")


def level(concurrency: int, joules: float, seconds: float) -> TestRecord:
    load = LoadRecord(
        concurrency=concurrency,
        in_flight=float(concurrency),
        requests=200,
        failed=3,
        requests_per_second=concurrency / seconds,
        median_seconds=seconds,
        p99_seconds=2 * seconds,
    )
    return measured(
        joules,
        id="tests/test_server.py::test_load",
        name=f"{concurrency} in flight",
        unit="output-token",
        load=load,
        budget=LIMIT,
        limit_joules_per_unit=8.0,
    )


ONE, FOUR, SIXTEEN = level(1, 10.0, 0.5), level(4, 4.0, 0.75), level(16, 2.5, 1.5)


def page(*tests: TestRecord) -> Element:
    made = page_of(render_page(replace(RECORD, tests=tests)))
    assert_is_closed(made)
    assert_is_accessible(made)
    return made


def test_a_sweep_is_one_picture_with_a_point_for_each_concurrency() -> None:
    # The most urgent stands first in the page; the picture goes by concurrency.
    section = page(SIXTEEN, ONE, FOUR).one("section", id="load")
    picture = section.one("figure").one("svg", role="img")
    assert picture.attributes["aria-label"] == (
        "Energy for one unit against latency: 1 in flight: 10.0 J at 0.500 s; 4 in flight: 4.00 J "
        "at 0.750 s; 16 in flight: 2.50 J at 1.50 s; limit 8.00 J"
    )
    dots = picture.all("circle")
    across = [float(each.attributes["cx"].rstrip("%")) for each in dots]
    down = [float(each.attributes["cy"]) for each in dots]
    # From 0 at 4 % to 1.5 s at 96 %, and from 0 up to 10 J in a height of 150.
    assert across == [34.7, 50.0, 96.0]
    assert down == [36.0, 118.8, 139.5]
    (limit,) = picture.all("line", class_="l")
    assert limit.attributes["y1"] == "63.6"
    words = [each.text for each in picture.all("text")]
    assert {"1", "4", "16", "limit 8.00 J", "1.50 s", "10.0 J"} <= set(words)
    assert section.one("figcaption").text.startswith("test_load, per output-token: energy against")


def test_the_table_beside_it_holds_each_load() -> None:
    head, first, *others = page(ONE, FOUR).one("table", class_="wide loads").all("tr")
    assert [each.text for each in head.all("th")] == [
        "test",
        "in flight",
        "requests/s",
        "units/s",
        "median s",
        "p99 s",
        "failed",
        "J/unit",
    ]
    assert first.one("th").text == "test_load 1 in flight (per output-token)"
    cells = ["1", "2.00", "-", "0.500", "1.00", "3", "10.0"]
    assert [each.text for each in first.all("td")] == cells
    assert len(others) == 1


def test_tests_units_and_names_have_pictures_of_their_own() -> None:
    named = [replace(each, name=f"long, {each.name}") for each in (ONE, FOUR)]
    tokens = [replace(each, unit="request") for each in (ONE, FOUR)]
    captions = page(ONE, FOUR, *named, *tokens).one("section", id="load").all("figcaption")
    assert sorted(each.text.partition(":")[0] for each in captions) == [
        "test_load long, per output-token",
        "test_load, per output-token",
        "test_load, per request",
    ]


def test_one_figure_is_no_sweep_and_one_that_is_missing_is_no_point() -> None:
    gone = replace(UNMEASURED, id=ONE.id, name=ONE.name, unit=ONE.unit, load=ONE.load)
    section = page(gone, FOUR).one("section", id="load")
    assert section.all("figure") == []
    assert len(section.all("tr")) == 3
    assert page_of(render_page(RECORD)).all("section", id="load") == []
