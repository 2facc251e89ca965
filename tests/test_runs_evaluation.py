"""The files of an evaluation: read as written, whole or refused, written anew."""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resnet_exp.runs import evaluation
from resnet_exp.runs.evaluation import (
    Evaluated,
    Predictions,
    clear_evaluation,
    most_confused,
    printable,
    read_evaluation,
    write_evaluation,
)
from resnet_exp.runs.folder import RunFolder
from tests.helpers import Bomb, make_evaluated

FILES = ["evaluation.json", "most_confused.npz", "predictions.csv"]


def assert_equal(one: Evaluated, other: Evaluated) -> None:
    assert (one.subject, one.classes, one.scores) == (other.subject, other.classes, other.scores)
    assert list(one.predictions) == list(other.predictions)
    arrays = [
        [e.labels, e.confused, e.pixels, *(array for of in e.predictions.values() for array in vars(of).values())]
        for e in (one, other)
    ]
    for mine, theirs in zip(*arrays, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    evaluated = make_evaluated()
    write_evaluation(tmp_path / "new" / "evaluation", evaluated)
    assert names(tmp_path / "new" / "evaluation") == FILES
    assert_equal(read_evaluation(tmp_path / "new" / "evaluation"), evaluated)


def test_the_table_has_a_row_an_image(tmp_path: Path) -> None:
    first = Predictions(np.array([1, 1]), np.array([0.75, np.nan]), np.array([3, 1]))
    other = Predictions(np.array([0, 0]), np.array([0.5, 1.0]), np.array([1, 2]))
    both = {"stored": first, "re-estimated": other}
    evaluated = make_evaluated(
        labels=np.array([0, 1]), predictions=both, confused=np.array([0]), pixels=np.zeros((1, 2, 2, 3), np.uint8)
    )
    write_evaluation(tmp_path, evaluated)
    assert (tmp_path / "predictions.csv").read_text() == (
        "index,label,predicted,confidence,rank,predicted_reestimated,confidence_reestimated,rank_reestimated\n"
        "0,0,1,0.75,3,0,0.5,1\n"
        "1,1,1,nan,1,0,1,2\n"
    )
    assert_equal(read_evaluation(tmp_path), evaluated)
    alone = replace(evaluated, predictions={"stored": first})
    write_evaluation(tmp_path, alone)
    assert (tmp_path / "predictions.csv").read_text() == (
        "index,label,predicted,confidence,rank\n0,0,1,0.75,3\n1,1,1,nan,1\n"
    )
    assert_equal(read_evaluation(tmp_path), alone)


def test_nothing_need_be_wrong(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2])
    right = Predictions(labels, np.ones(3), np.ones(3, np.int64))
    none = {"confused": most_confused(labels, right), "pixels": np.zeros((0, 4, 4, 3), np.uint8)}
    evaluated = make_evaluated(labels=labels, predictions={"stored": right}, **none)
    write_evaluation(tmp_path, evaluated)
    assert_equal(read_evaluation(tmp_path), evaluated)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-20],
        lambda data: b"",
        lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:],  # in the record: the run's name
        lambda data: b"{}",
        lambda data: b"[]",
        lambda data: b"\xff\xfe",
    ],
    ids=["truncated", "empty", "bit", "other", "list", "no text"],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    write_evaluation(tmp_path, make_evaluated())
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    with pytest.raises(ValueError, match=f"{name}: missing, damaged"):
        read_evaluation(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_evaluation(tmp_path, make_evaluated())
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f"{name}: missing"):
        read_evaluation(tmp_path)


def test_files_of_two_evaluations_are_none(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "one", make_evaluated())
    write_evaluation(tmp_path / "other", make_evaluated(per_class=5))
    (tmp_path / "other" / "predictions.csv").replace(tmp_path / "one" / "predictions.csv")
    with pytest.raises(ValueError, match=r"predictions\.csv"):
        read_evaluation(tmp_path / "one")


def forge(folder: Path, name: str, content: bytes) -> None:
    """Puts another file in, and its checksum into the record."""
    (folder / name).write_bytes(content)
    record = json.loads((folder / "evaluation.json").read_text())
    record["sha256"][name] = hashlib.sha256(content).hexdigest()
    (folder / "evaluation.json").write_text(json.dumps(record))


def test_a_newer_version_is_said(tmp_path: Path) -> None:
    write_evaluation(tmp_path, make_evaluated())
    record = json.loads((tmp_path / "evaluation.json").read_text())
    (tmp_path / "evaluation.json").write_text(json.dumps(record | {"schema": 2}))
    with pytest.raises(ValueError, match=r"evaluation\.json: schema 2 is of a newer version"):
        read_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("predicted,", "guessed,"),
        ("\n0,0,", "\n0,7,"),
        ("\n0,0,", "\n0,-1,"),
        ("\n0,0,", "\n0,0.5,"),
        ("\n0,0,", "\n0,x,"),
        ("\n0,0,", "\n0,"),
    ],
)
def test_numbers_that_cannot_be_are_refused(tmp_path: Path, old: str, new: str) -> None:
    write_evaluation(tmp_path, make_evaluated())
    text = (tmp_path / "predictions.csv").read_text()
    assert old in text
    forge(tmp_path, "predictions.csv", text.replace(old, new, 1).encode())
    with pytest.raises(ValueError, match=r"predictions\.csv: missing, damaged"):
        read_evaluation(tmp_path)


def test_a_rank_must_fit_the_class(tmp_path: Path) -> None:
    evaluated = make_evaluated()
    stored = evaluated.predictions["stored"]
    write_evaluation(tmp_path, replace(evaluated, predictions={"stored": replace(stored, rank=4 - stored.rank)}))
    with pytest.raises(ValueError, match=r"predictions\.csv"):
        read_evaluation(tmp_path)


def test_images_of_another_kind_are_refused(tmp_path: Path) -> None:
    evaluated = make_evaluated()
    for wrong in (
        {"pixels": evaluated.pixels[1:]},
        {"pixels": evaluated.pixels.astype(np.float32)},
        {"pixels": evaluated.pixels[..., 0]},
        {"confused": evaluated.confused + 1000},
    ):
        write_evaluation(tmp_path, replace(evaluated, **wrong))
        with pytest.raises(ValueError, match=r"most_confused\.npz"):
            read_evaluation(tmp_path)


def test_a_pickle_among_the_images_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_evaluation(tmp_path, make_evaluated())
    file = io.BytesIO()
    np.savez(file, index=np.array([Bomb()]), pixels=np.array([Bomb()]))
    forge(tmp_path, "most_confused.npz", file.getvalue())
    with pytest.raises(ValueError, match=r"most_confused\.npz"):
        read_evaluation(tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_an_evaluation_is_written_anew(tmp_path: Path) -> None:
    write_evaluation(tmp_path, make_evaluated())
    for name in ("confusion.svg", "evaluation.md", ".confusion.png.1-a0.tmp", ".predictions.csv.1.tmp", "notes.txt"):
        (tmp_path / name).touch()
    again = make_evaluated(per_class=5)
    write_evaluation(tmp_path, again)
    assert names(tmp_path) == sorted([*FILES, "notes.txt"])
    assert_equal(read_evaluation(tmp_path), again)


@pytest.mark.parametrize("fails", range(3))
def test_what_cannot_be_written_leaves_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: int) -> None:
    write_evaluation(tmp_path, make_evaluated())
    written: list[Path] = []

    def full(path: Path, chunks: list[bytes]) -> None:
        if len(written) == fails:
            raise OSError(28, "No space left on device")
        written.append(path)
        path.write_bytes(chunks[0])

    monkeypatch.setattr(evaluation, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_evaluation(tmp_path, make_evaluated(per_class=5))
    assert names(tmp_path) == []


@pytest.mark.parametrize("killed_after", range(4))
def test_a_killed_writer_leaves_no_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    """At no moment is there one of the old and the new; as long as the record is not there, none."""
    write_evaluation(tmp_path, make_evaluated())
    real, written = evaluation.replace, []

    def dying(path: Path, chunks: list[bytes]) -> None:
        if len(written) == killed_after:
            raise KeyboardInterrupt
        written.append(path)
        real(path, chunks)

    monkeypatch.setattr(evaluation, "replace", dying)
    new = make_evaluated(per_class=5)
    if killed_after == 3:  # all is written
        write_evaluation(tmp_path, new)
        assert_equal(read_evaluation(tmp_path), new)
        return
    with pytest.raises(KeyboardInterrupt):
        write_evaluation(tmp_path, new)
    with pytest.raises(ValueError, match=r"evaluation\.json: missing"):
        read_evaluation(tmp_path)


def test_a_run_that_begins_again_has_no_evaluation(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "evaluation", make_evaluated())
    with RunFolder(tmp_path) as folder:
        folder.clear()
    assert names(tmp_path / "evaluation") == []
    clear_evaluation(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_the_most_confused_are_wrong_and_sure() -> None:
    random = np.random.default_rng(1)
    labels, predicted = random.integers(0, 3, (2, 100))
    confidence = random.uniform(0, 1, 100).round(1)
    confidence[:5] = np.nan
    wrong = [i for i in range(100) if labels[i] != predicted[i]]
    by_hand = sorted(wrong, key=lambda i: (np.isnan(confidence[i]), -confidence[i], i))[:20]
    found = most_confused(labels, Predictions(predicted, confidence, np.where(labels == predicted, 1, 2)))
    assert found.tolist() == by_hand


def test_names_of_classes_become_printable() -> None:
    assert printable("crème brûlée $x$ 犬") == "crème brûlée $x$ 犬"
    assert printable("a\nb\x00c\udc80") == "a\ufffdb\ufffdc\ufffd"
