"""What all questions share: how one is asked of a run, piece by piece, and written down."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tqdm import tqdm

from resnet_exp.diagnostics.case import Case
from resnet_exp.runs.diagnostics import Diagnosis, Row, read_diagnosis, write_diagnosis

KEEP_EVERY = 30.0  # seconds after which what is measured is written down, lest a killed process lose more

log = logging.getLogger(__name__)


class DoesNotFit(ValueError):  # noqa: N818
    """A question that has no meaning for a net; one of several is passed over."""


@dataclass(frozen=True)
class Question:
    """One `what=`.

    Args:
        what: its name, and that of its files.
        choices: what the numbers depend on besides the run's settings, of a case; goes into the record. Raises
            `DoesNotFit` if the question does not fit the net.
        pieces: how many pieces `measure` yields, of a case.
        measure: yields the rows of one piece after another, of a case and the rows that are known already: those it
            leaves out. All rows have the same keys.
    """

    what: str
    choices: Callable[[Case], dict[str, Any]]
    pieces: Callable[[Case], int]
    measure: Callable[[Case, Sequence[Row]], Iterator[list[Row]]]


def ask(question: Question, case: Case, *, check: Callable[[], None], fresh: bool, quiet: bool = False) -> Diagnosis:
    """Measures, and writes what was measured into the run folder; after a stop the same call goes on.

    Args:
        check: called after every piece; what it raises ends the measuring, and what is done is kept.
        fresh: measure again what was measured of these weights already.
        quiet: no bar.

    Raises:
        DoesNotFit: the question does not fit the net.
        OSError: the run folder cannot be written.
    """
    choices = question.choices(case) | {"step": case.step, "weights": case.digest}
    before = None if fresh else earlier(question, case, choices)
    if before and before.complete:
        log.info("%s: %s is known; fresh=true measures it again", case.path, question.what)
        return before
    known = before.rows if before else []
    rows: list[Row] = list(known)
    found = Diagnosis(question.what, case.subject, choices, rows, complete=False)
    bar = tqdm(total=question.pieces(case), desc=question.what, unit="piece", leave=False, disable=quiet or None)
    written_at = time.monotonic()
    with bar:
        try:
            for piece in question.measure(case, known):
                rows += piece
                bar.update()
                check()
                if time.monotonic() > written_at + KEEP_EVERY:
                    write_diagnosis(case.path, found)
                    written_at = time.monotonic()
        except BaseException:
            if len(rows) > len(known):
                write_diagnosis(case.path, found)
            raise
    found = replace(found, complete=True)
    write_diagnosis(case.path, found)
    return found


def earlier(question: Question, case: Case, choices: dict[str, Any]) -> Diagnosis | None:
    """What was measured of the same weights in the same way; None if nothing was, or it cannot be read, or if an older
    version measured snapshots beyond the newest checkpoint, too."""
    try:
        found = read_diagnosis(case.path, question.what)
    except ValueError as error:
        log.warning("%s", str(error).splitlines()[0])
        return None
    if found is None or found.choices != choices or any(float(row.get("step", 0)) > case.step for row in found.rows):
        return None
    return found
