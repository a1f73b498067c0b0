"""What goes wrong: the root of this package's errors, and a reason with its code."""

from __future__ import annotations

#: Codes that more than one place acts on.
INPUTS_NOT_COVERED = "inputs-not-covered"
BESIDE_FLOPS = "beside-flops"


class EnergyError(Exception):
    """The root of all errors of this package; the message is for the user, without a traceback.

    It says what happened, where, what was expected, and what to do.
    """


class InputError(EnergyError, ValueError):
    """A value, a file or an option that a user wrote and that cannot be used."""


class EnergyUsageError(EnergyError):
    """The fixture was used in a way that can't be measured; shown as an ERROR of the test."""


class Reason(str):
    """A sentence with its reason code, so that CI can branch on it; "" for no reason.

    code: a short fixed word, such as `counter-reset` or `cached-result`.
    """

    __slots__ = ("code",)
    code: str

    def __new__(cls, code: str, sentence: str) -> Reason:
        """`code` for machines, `sentence` for people."""
        self = super().__new__(cls, sentence)
        self.code = code
        return self

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return self.code, str(self)


def code_of(reason: str, otherwise: str = "") -> str:
    """The code of a reason, or `otherwise` for a sentence that has none."""
    return reason.code if isinstance(reason, Reason) else otherwise
