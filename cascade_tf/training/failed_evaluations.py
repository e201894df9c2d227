"""Evaluations that failed while a run went on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class EvaluationFailedError(RuntimeError):
    """A run has done all its steps and kept their weights, but evaluations failed on the way.

    Attributes:
        errors: what each of them raised, by its step.
        result: the ``TrainResult`` of the run.
    """

    def __init__(self, errors: Mapping[int, Exception], result: Any) -> None:
        self.errors = dict(errors)
        self.result = result
        steps = ", ".join(map(str, self.errors))
        noun = "evaluation after step" if len(self.errors) == 1 else "evaluations after steps"
        super().__init__(f"the {noun} {steps} failed ({describe_error(self.last)})")

    @property
    def last(self) -> Exception:
        """What the last of them raised."""
        return list(self.errors.values())[-1]

    @property
    def is_final(self) -> bool:
        """Whether the evaluation after the last step is among them; started again, the run repeats it."""
        return self.result.step in self.errors


def describe_error(error: Exception) -> str:
    """Returns an error in one line, with its type where it has no text."""
    return " ".join(str(error).split()) or type(error).__name__
