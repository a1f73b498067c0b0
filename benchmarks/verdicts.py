"""How often rule A is red, by simulated sessions of known truth.

python benchmarks/verdicts.py
"""

from __future__ import annotations

import math
import random

from pytest_energy.verdict import MAX_ROUNDS, Verdict, look

SESSIONS = 4000
TOLERANCE = 0.03
SEED = 20231128
RED = (Verdict.FAIL, Verdict.INCONCLUSIVE)


def session(
    rng: random.Random, true: float, cv: float, between: float, *, bursts: bool
) -> tuple[Verdict, int]:
    """One session against a limit of 1: its verdict, and after how many rounds.

    cv: coefficient of variation of rounds. between: of the means of sessions. bursts: 5 % of the
    rounds cost 10 to 50 % more.
    """
    mean = true * math.exp(rng.gauss(0, between))
    values: list[float] = []
    while True:
        burst = 1 + rng.uniform(0.1, 0.5) if bursts and rng.random() < 0.05 else 1.0
        values.append(mean * math.exp(rng.gauss(0, cv)) * burst)
        verdict = look(values, 1.0, TOLERANCE, final=len(values) == MAX_ROUNDS)
        if verdict is not None:
            return verdict, len(values)


def main() -> None:
    print(f"{SESSIONS} sessions a cell: red (fail or inconclusive), and the mean number of rounds")
    truths = (0.90, 1.00, 1.05, 1.08, 1.10)
    heads = "".join(f"{f'{true - 1:+.0%}':>16}" for true in truths)
    print(f"{'cv':>4}{'bursts':>8}{'between':>9}{heads}")
    for between in (0.0, 0.02):
        for cv in (0.01, 0.03, 0.10):
            for bursts in (False, True):
                cells = ""
                for true in truths:
                    rng = random.Random(SEED)
                    found = [
                        session(rng, true, cv, between, bursts=bursts) for _ in range(SESSIONS)
                    ]
                    red = sum(verdict in RED for verdict, _ in found) / SESSIONS
                    rounds = sum(n for _, n in found) / SESSIONS
                    cells += f"{red:>9.1%}{rounds:>7.1f}"
                print(f"{cv:>4.0%}{'yes' if bursts else 'no':>8}{between:>9.0%}{cells}")


if __name__ == "__main__":
    main()
