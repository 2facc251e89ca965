"""The folder `diagnostics/` of a run: what `task=diagnose` measured of its net, in files that are read without torch.

    <what>.csv     a row for each thing that was measured
    <what>.json    what the numbers depend on: which weights, which images, which BN statistics

The JSON file is written last and holds the table's checksum: without it, or if it does not fit, there is no diagnosis.
"""

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resnet_exp.files import SCRAPS, replace_text
from resnet_exp.runs.schema import NewerError

FOLDER, SCHEMA = "diagnostics", 1

Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Subject:
    """Whose net was questioned; a run that has not begun has weights, too.

    Args:
        name: of the run.
        net: its description, see `NetSpec.to_dict`.
        data: how figures call the images.
        images: that are trained on.
        steps: of the whole training.
    """

    name: str
    seed: int
    net: dict[str, Any]
    data: str
    images: int
    image_size: int
    steps: int


@dataclass(frozen=True)
class Diagnosis:
    """What was measured to answer one question.

    Args:
        what: the question, as `what=` calls it.
        subject: whose net.
        choices: what the numbers depend on besides the run's own settings.
        rows: the table; all rows have the same keys. Read from a file, every number is a float.
        complete: whether all of it was measured; else the same command goes on.
    """

    what: str
    subject: Subject
    choices: dict[str, Any]
    rows: list[Row]
    complete: bool = True


def write_diagnosis(run: Path, found: Diagnosis) -> None:
    """Writes the table and then what it depends on.

    Raises:
        OSError: the disk is full or not writable.
    """
    folder = run / FOLDER
    folder.mkdir(parents=True, exist_ok=True)  # a run that has not begun has no folder yet
    table = table_text(found.rows)
    record = {"schema": SCHEMA, "what": found.what, "complete": found.complete}
    record |= {"subject": asdict(found.subject), "choices": found.choices, "sha256": sum_of(table)}
    (folder / f"{found.what}.json").unlink(missing_ok=True)
    replace_text(folder / f"{found.what}.csv", table)
    replace_text(folder / f"{found.what}.json", json.dumps(record, indent=2) + "\n")


def table_text(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: f"{cell:.7g}" if isinstance(cell, float) else cell for key, cell in row.items()})
    return text.getvalue()


def sum_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_diagnosis(run: Path, what: str) -> Diagnosis | None:
    """What `write_diagnosis` wrote; None if there is nothing.

    Raises:
        ValueError: a file is missing, damaged, or of another diagnosis than the other; or a newer version wrote it.
    """
    file, table = run / FOLDER / f"{what}.json", run / FOLDER / f"{what}.csv"
    if not file.exists():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        schema = int(record["schema"])
        if schema > SCHEMA:
            raise NewerError(f"{file}: schema {schema} is of a newer version of resnet-exp\nthis one knows {SCHEMA}")
        choices, complete, subject = dict(record["choices"]), bool(record["complete"]), Subject(**record["subject"])
        text = table.read_text(encoding="utf-8")
        if record["what"] != what or record["sha256"] != sum_of(text):
            raise ValueError("of another diagnosis")
    except NewerError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: missing, damaged, or of another table\ntask=diagnose writes it anew") from error
    rows = [{key: number_or_text(cell) for key, cell in row.items()} for row in csv.DictReader(io.StringIO(text))]
    return Diagnosis(what, subject, choices, rows, complete)


def number_or_text(cell: str) -> str | float:
    try:
        return float(cell)
    except ValueError:
        return cell


def clear_diagnoses(run: Path) -> None:
    """Removes them all, and what a killed process left of one; other files stay."""
    for pattern in ("*.json", "*.csv", SCRAPS):  # the records first: without them there is no diagnosis
        for file in (run / FOLDER).glob(pattern):
            file.unlink()
