"""CUDA_VISIBLE_DEVICES and --energy-gpus against a table of boards."""

from __future__ import annotations

import pytest

from pytest_energy.sensors.gpu_choice import Allotted, Board, MigDevice, allotted, listed

A = Board(0, "GPU-aaaa1111-0000-0000-0000-000000000000")
B = Board(1, "GPU-aaaa2222-0000-0000-0000-000000000000")
SLICE = MigDevice("MIG-5c89852c-d268-c3f3-1b07-005d5ae1dc3f", whole=False)
OTHER = MigDevice("MIG-77777777-d268-c3f3-1b07-005d5ae1dc3f", whole=False)
M = Board(2, "GPU-bbbb3333-0000-0000-0000-000000000000", (SLICE, OTHER))
BOARDS = [A, B, M]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [Allotted(A), Allotted(B), Allotted(M, SLICE)]),
        ("", []),
        ("-1", []),
        ("none", []),
        ("NoDevFiles", []),
        ("0", [Allotted(A)]),
        ("1,0", [Allotted(B), Allotted(A)]),
        (" 0 , 1 ", [Allotted(A), Allotted(B)]),
        ("0,-1,1", [Allotted(A)]),
        ("0,9,1", [Allotted(A)]),
        ("0,0", []),
        ("GPU-aaaa1111-0000-0000-0000-000000000000", [Allotted(A)]),
        ("GPU-aaaa1", [Allotted(A)]),
        ("GPU-AAAA2", [Allotted(B)]),
        ("GPU-aaaa", []),  # two boards begin so
        ("GPU-cccc", []),
        (SLICE.uuid, [Allotted(M, SLICE)]),
        ("MIG-7777", [Allotted(M, OTHER)]),
        ("2", [Allotted(M, SLICE)]),
    ],
)
def test_every_form(value: str | None, expected: list[Allotted]) -> None:
    assert list(allotted(value, BOARDS)) == expected


def test_the_old_mig_form_is_never_a_whole_board() -> None:
    (found,) = allotted(f"MIG-{M.uuid}/7/0", BOARDS)
    assert found.board == M
    assert found.mig is not None
    assert not found.mig.whole


def test_a_list_by_the_user_takes_indices_and_uuids() -> None:
    assert listed(["1", A.uuid, "1"], BOARDS) == (Allotted(B), Allotted(A))


@pytest.mark.parametrize("name", ["7", "GPU-cccc", "MIG-x"])
def test_a_listed_board_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=name) as caught:
        listed([name], BOARDS)
    assert A.uuid in str(caught.value)


def test_a_machine_without_boards() -> None:
    assert allotted(None, []) == ()
    assert allotted("0", []) == ()
