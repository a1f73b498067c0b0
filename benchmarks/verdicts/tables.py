"""The figures as tables, and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import cost
import limit
import pairs
import recorded
import sessions
from noise import Noise

from pytest_energy.rules.baseline import MAX_INCREASE
from pytest_energy.rules.paired import MAX_RATIO_INCREASE
from pytest_energy.rules.verdict import Verdict


def noise_text(noise: Noise) -> str:
    return f"{noise.between:>7.0%}{noise.cv:>5.0%}  {noise.shape:12}"


NOISE_HEAD = f"{'between':>7}{'cv':>5}  {'':12}"


def limit_text(cells: Sequence[limit.Cell]) -> Iterator[str]:
    yield "Rule A: red (fail or inconclusive) and mean rounds, by how far the truth lies over the"
    yield f"limit; {cells[0].sessions} sessions a cell"
    yield NOISE_HEAD + "".join(f"{_signed(truth):>12}" for truth in limit.TRUTHS)
    for noise, row in _by_noise(cells):
        yield noise_text(noise) + "".join(f"{each.red:>7.1%}{each.rounds:>5.1f}" for each in row)


def side_by_side_text(cells: Sequence[limit.Cell]) -> Iterator[str]:
    truths = (1.00, 1.08)
    names = ["rule A", *limit.OTHERS]
    yield "Rule A and others: red at the limit, and 8 % over it"
    yield f"{'':26}" + "".join(f"{name:>12}" for name in names)
    yield NOISE_HEAD + f"{_signed(truths[0]):>7}{_signed(truths[1]):>5}" * len(names)
    for noise, row in _by_noise(cells):
        at_limit, over = (each for each in row if each.truth in truths)
        text = f"{at_limit.red:>7.1%}{over.red:>5.0%}"
        for name in limit.OTHERS:
            text += f"{at_limit.red_by(name):>7.1%}{over.red_by(name):>5.0%}"
        yield noise_text(noise) + text


def target_text(cells: Sequence[limit.Cell]) -> Iterator[str]:
    yield "Rule A against its targets, bursts, 2 % between sessions"
    one, three = limit.TARGET_NOISES
    yield f"{'':14}{'target':>15}{'pooled':>9}{'':10}{'cv 1 %':>8}{'cv 3 %':>8}{'no sessions':>13}"
    for target in limit.TARGETS:
        red = limit.pooled(cells, limit.TARGET_NOISES, target.truth)
        parts = [limit.pooled(cells, [noise], target.truth) for noise in (one, three)]
        without = limit.pooled(cells, limit.WITHOUT_SESSION_TERM, target.truth)
        asked = f"at {'most' if target.at_most else 'least'} {target.rate:.0%}"
        met = "met" if target.is_met(red) else "missed"
        texts = "".join(f"{each:>7.1%}{' ' if target.is_met(each) else '*'}" for each in parts)
        yield (
            f"{_signed(target.truth):>5} {'red':8}{asked:>15}{red:>9.1%}  {met:8}{texts}"
            f"{without:>12.1%}"
        )
    yield "* a single noise beyond the target; no sessions: pooled, without the session term"


def cost_text(costs: Sequence[cost.Cost], sessions_a_row: int) -> Iterator[str]:
    yield f"Cost of a verdict of rule A, {sessions_a_row} sessions a row, bursts and 2 % between"
    yield f"sessions, at most {cost.MAX_SECONDS:.0f} s; seconds and queries with their warm-up"
    for noise in cost.NOISES:
        for window in cost.WINDOW_SECONDS:
            yield ""
            yield f"cv {noise.cv:.0%}, windows of {window:g} s"
            queries = "".join(f"{f'query {each:g} s':>22}" for each in cost.QUERY_SECONDS)
            yield f"{'distance':>9}{'red':>8}{'rounds':>8}{queries}"
            yield f"{'':25}" + f"{'seconds':>12}{'queries':>10}" * len(cost.QUERY_SECONDS)
            for distance in cost.DISTANCES if window == cost.COUNTER else (-0.1, 0.0, 0.1):
                row = [
                    each
                    for each in costs
                    if (each.noise, each.distance, each.window_seconds) == (noise, distance, window)
                ]
                label = f"{distance:>+9.0%}{row[0].red:>8.1%}{row[0].rounds:>8.1f}"
                cells = "".join(f"{each.seconds:>12.0f}{each.queries:>10.0f}" for each in row)
                yield label + cells
    score = "".join(
        f"{each * cost.SCORE_QUERIES:>12.0f}{cost.SCORE_QUERIES:>10}" for each in cost.QUERY_SECONDS
    )
    yield ""
    yield f"{'AI Energy Score, ten runs':25}{score}"


def sessions_text(cells: Sequence[sessions.Cell]) -> Iterator[str]:
    boards = list(dict.fromkeys(each.boards for each in cells))
    yield f"Rule B, X = {MAX_INCREASE:.0%}: failed, by the true increase; five rounds a session"
    yield _sessions(cells[0].sessions, sessions.SHARE_OF_CHANGED)
    yield "Threshold: median, and its range without 5 % at each end"
    wide = 14 if len(boards) > 1 else 0
    head = f"{'':{wide}}{'between':>7}{'cv':>5}{'K':>4}"
    truths = "".join(f"{_signed(truth):>8}" for truth in sessions.TRUTHS)
    yield f"{head}{truths}{'threshold':>12}"
    found: dict[tuple[Any, ...], list[sessions.Cell]] = {}
    for each in cells:
        found.setdefault((each.boards, each.noise, each.stored), []).append(each)
    for (board, noise, stored), row in found.items():
        label = f"{board if wide else '':{wide}}{noise.between:>7.0%}{noise.cv:>5.0%}{stored:>4}"
        low, middle, high = row[0].thresholds
        red = "".join(f"{each.red:>8.1%}" for each in row)
        yield f"{label}{red}{middle:>9.1%} ({low:.1%} to {high:.1%})"


def other_sessions_text(found: Sequence[sessions.Other]) -> Iterator[str]:
    names = list(found[0].red)
    yield f"Two sessions: red without a change, and at +10 %, {found[0].sessions} pairs a cell"
    yield f"{'':26}" + "".join(f"{name:>12}" for name in names)
    yield NOISE_HEAD + f"{'+0%':>7}{'+10%':>5}" * len(names)
    for noise in dict.fromkeys(each.noise for each in found):
        same, more = (each for each in found if each.noise == noise)
        cells = "".join(f"{same.red[name]:>7.1%}{more.red[name]:>5.0%}" for name in names)
        yield noise_text(noise) + cells


def pairs_text(cells: Sequence[pairs.Cell]) -> Iterator[str]:
    yield f"Rule B', X = {MAX_RATIO_INCREASE:.0%}, by the true increase,"
    yield "and joules ci (landauer-gap 0.8) with a budget of as much"
    yield _sessions(cells[0].sessions, pairs.SHARE_OF_CHANGED)
    yield (
        f"{'cv':>5}  {'':12}{'':14}"
        + "".join(f"{_signed(truth):>8}" for truth in pairs.TRUTHS)
        + f"{'pairs':>8}"
    )
    for noise in pairs.NOISES:
        row = [each for each in cells if each.noise == noise]
        fails = "".join(f"{each.rate(Verdict.FAIL):>8.1%}" for each in row)
        unsure = "".join(f"{each.rate(Verdict.INCONCLUSIVE):>8.1%}" for each in row)
        others = "".join(f"{each.joules_ci:>8.1%}" for each in row)
        yield f"{noise.cv:>5.0%}  {noise.shape:12}{'fail':14}{fails}{row[0].pairs:>8.1f}"
        yield f"{'':19}{'inconclusive':14}{unsure}"
        yield f"{'':19}{'joules ci':14}{others}{'3':>6}"


def recorded_text(rows: Sequence[recorded.Row]) -> Iterator[str]:
    yield "Real measurements of the same commits on different days: red, by the increase that was"
    yield "multiplied in (+0%: false alarms); rounds used at most, median threshold of rule B"
    truths = "".join(f"{_signed(truth):>8}" for truth in recorded.TRUTHS)
    yield f"{'':30}{'rounds':>7}{'cases':>7}{truths}{'threshold':>11}"
    for row in rows:
        red = "".join(f"{row.red[truth]:>8.1%}" for truth in recorded.TRUTHS)
        rounds = "all" if row.rounds == recorded.ALL else str(row.rounds)
        threshold = "" if row.threshold is None else f"{row.threshold:>11.1%}"
        yield f"{row.rule:30}{rounds:>7}{row.cases:>7}{red}{threshold}"


def shifts_text(found: Sequence[recorded.Shift]) -> Iterator[str]:
    yield "By how much a commit's mean differs from itself in the other collection"
    yield f"{'':34}{'commits':>9}{'mean':>8}{'sd':>7}"
    for each in found:
        yield f"{f'{each.old} to {each.new}':34}{each.commits:>9}{each.mean:>8.1%}{each.sd:>7.1%}"


def recorded_pairs_text(rows: Sequence[recorded.PairRow]) -> Iterator[str]:
    yield "Real measurements, neighbouring repetitions of a commit as pairs"
    head = f"{'pairs':>6}{'commits':>9}{'increase':>10}{'fail':>9}"
    yield f"{head}{'inconclusive':>14}{'joules ci':>11}"
    for row in rows:
        yield (
            f"{row.pairs:>6}{row.commits:>9}{_signed(row.truth):>10}{row.rate(Verdict.FAIL):>9.1%}"
            f"{row.rate(Verdict.INCONCLUSIVE):>14.1%}{row.joules_ci:>11.1%}"
        )


def as_json(parts: Mapping[str, Mapping[str, Any] | Sequence[Any]]) -> str:
    """One line for a cell, so that two runs can be compared."""
    texts = []
    for name, part in parts.items():
        if isinstance(part, Mapping):
            texts.append(f'"{name}": {json.dumps(part)}')
        else:
            lines = ",\n".join("  " + json.dumps(dataclasses.asdict(each)) for each in part)
            texts.append(f'"{name}": [\n{lines}\n]')
    return "{\n" + ",\n".join(texts) + "\n}\n"


def _sessions(unchanged: int, share: float) -> str:
    changed = round(share * unchanged)
    return f"{unchanged} sessions a cell without an increase, {changed} with one"


def _signed(truth: float) -> str:
    return f"{truth - 1:+.0%}"


def _by_noise(cells: Iterable[limit.Cell]) -> Iterator[tuple[Noise, list[limit.Cell]]]:
    found: dict[Noise, list[limit.Cell]] = {}
    for each in cells:
        found.setdefault(each.noise, []).append(each)
    yield from found.items()
