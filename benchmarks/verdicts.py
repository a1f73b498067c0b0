"""How often rules A, B and B' are right, beside others' rules, and what a verdict costs.

python benchmarks/verdicts.py

Simulated sessions of known truth, and real measurements of commits that were measured on several
days (benchmarks/data). The tables, all figures as JSON and a picture go to benchmarks/results. It
takes about five minutes and needs `pip install scipy matplotlib`; every figure has its seed.
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
sys.path[:0] = [str(HERE / "verdicts"), str(HERE.parent / "tests" / "fakes")]

import chart  # noqa: E402
import cost  # noqa: E402
import limit  # noqa: E402
import pairs  # noqa: E402
import recorded  # noqa: E402
import sessions  # noqa: E402
import tables  # noqa: E402
from noise import SEED  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the sessions; less is a quick look, unsaved"
    )
    share: float = parser.parse_args().share
    lines: list[str] = []

    def many(sessions: int) -> int:
        return max(round(share * sessions), 20)

    def say(*texts: str) -> None:
        shown = [*(text.rstrip() for text in texts), ""]
        lines.extend(shown)
        print(*shown, sep="\n", flush=True)

    limits = list(limit.all_cells(many(limit.SESSIONS)))
    say(*tables.limit_text(limits))
    say(*tables.side_by_side_text(limits))
    say(*tables.target_text(limits))
    costs = list(cost.costs(many(cost.SESSIONS)))
    say(*tables.cost_text(costs, many(cost.SESSIONS)))
    one_board = list(sessions.one_board(many(sessions.SESSIONS)))
    say(*tables.sessions_text(one_board))
    boards = list(sessions.several_boards(many(sessions.SESSIONS)))
    say(*tables.sessions_text(boards))
    others = list(sessions.others(many(sessions.SESSIONS_OF_OTHERS)))
    say(*tables.other_sessions_text(others))
    paired = list(pairs.all_cells(many(pairs.SESSIONS)))
    say(*tables.pairs_text(paired))
    data = recorded.load()
    shifts = list(recorded.shifts(data))
    say(*tables.shifts_text(shifts))
    rows = [*recorded.rule_b_rows(data), *recorded.other_rows(data)]
    say(*tables.recorded_text(rows))
    recorded_pairs = list(recorded.pair_rows(data))
    say(*tables.recorded_pairs_text(recorded_pairs))
    if share != 1.0:
        return
    RESULTS.mkdir(exist_ok=True)
    text = "\n".join(lines[:-1]) + "\n"
    (RESULTS / "verdicts.txt").write_text(text, encoding="utf-8")
    parts = {
        "about": {"seed": SEED, "python": platform.python_version()},
        "limit": limits,
        "cost": costs,
        "sessions": [*one_board, *boards],
        "other_sessions": others,
        "pairs": paired,
        "recorded_shifts": shifts,
        "recorded": rows,
        "recorded_pairs": recorded_pairs,
    }
    (RESULTS / "verdicts.json").write_text(tables.as_json(parts), encoding="utf-8")
    curve = limit.curve(limit.SESSIONS)
    chart.picture(RESULTS / "verdicts.png", curve, costs, rows, paired)


if __name__ == "__main__":
    main()
