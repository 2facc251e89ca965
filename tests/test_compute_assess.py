"""What `evaluation/` holds after a run was evaluated."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_exp.compute.assess import assess, evaluate_run
from resnet_exp.compute.device import Precision
from resnet_exp.compute.evaluate import Evaluation, recompute_batch_norm, training_batches
from resnet_exp.compute.parts import Parts
from resnet_exp.data.crops import PaddedCrop
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Dataset, load_dataset
from resnet_exp.data.stream import BatchStream
from resnet_exp.runs.evaluation import Subject, read_evaluation
from resnet_exp.runs.folder import RunFolder
from tests.helpers import TINY, Settings, make_net, rows, run, run_until

OFF, CPU = Precision("off", "cpu"), torch.device("cpu")
SUBJECT = Subject("mine", 3, "shapes", 7, "a file")


def stream(images: int) -> BatchStream:
    return BatchStream(
        num_images=images, batch_size=20, crop=PaddedCrop(8, padding=1, border="mean"), augment=True, seed=3
    )


def test_errors_of_a_finished_run_are_those_of_its_end(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = settings(*TINY, "depth=8", "data.val_size=30", "train.steps=12")
    summary, last = run(config, tmp_path), rows(tmp_path)[-1]
    caplog.clear()
    with caplog.at_level(logging.INFO):
        out = evaluate_run(config, RunFolder(tmp_path))
    assert out == tmp_path / "evaluation"
    evaluated = read_evaluation(out)
    errors = {(score.split, score.batch_norm): score.error for score in evaluated.scores}
    assert errors == {
        ("train", "stored"): summary["train_error_clean"],
        ("val", "stored"): pytest.approx(last["val_error"], rel=1e-5),
        ("test", "stored"): pytest.approx(last["test_error"], rel=1e-5),
        ("test", "re-estimated"): summary["test_error_recomputed_bn"],
    }
    losses = {score.split: score.loss for score in evaluated.scores if score.batch_norm == "stored"}
    assert losses["val"] == pytest.approx(last["val_loss"], rel=1e-5)
    assert losses["test"] == pytest.approx(last["test_loss"], rel=1e-5)
    assert [score.images for score in evaluated.scores] == [100, 30, 50, 50]
    assert [record.getMessage() for record in caplog.records] == [
        f"step 12  {shown} images {s.images}  loss {s.loss:.4g}  error {s.error:.2f} %{how}"
        for s, shown, how in zip(
            evaluated.scores,
            ("training", "validation", "test", "test"),
            ("", "", "", "  (BN statistics re-estimated)"),
            strict=True,
        )
    ]
    for mode, predictions in evaluated.predictions.items():
        assert errors["test", mode] == 100 * (predictions.predicted != evaluated.labels).mean()
    dataset = load_dataset(config.data)
    assert evaluated.subject == Subject("resnet8", 0, config.data.shown, 12, "newest checkpoint")
    assert evaluated.classes == dataset.classes
    assert evaluated.labels.tolist() == dataset.test.labels.tolist()
    assert len(evaluated.confused) == 20
    assert (evaluated.pixels == dataset.test.images[evaluated.confused].numpy()).all()


def test_an_evaluation_of_a_stopped_run_goes_on_where_it_stands(settings: Settings, tmp_path: Path) -> None:
    """BN is re-estimated on the batches after its step, and evaluating leaves no other trace."""
    config = settings(*TINY, "depth=8", "train.steps=12")
    run_until(config, tmp_path, stop_at=5)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    evaluated = read_evaluation(evaluate_run(config, RunFolder(tmp_path)))
    assert evaluated.subject.step == 5
    after = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert {file: after[file] for file in before} == before
    assert {file.parent.name for file in after.keys() - before.keys()} == {"evaluation"}
    first = {name: (tmp_path / "evaluation" / name).read_bytes() for name in ("evaluation.json", "predictions.csv")}
    evaluate_run(config, RunFolder(tmp_path))
    assert {name: (tmp_path / "evaluation" / name).read_bytes() for name in first} == first


def test_both_kinds_of_bn_statistics(shapes: Dataset, tmp_path: Path) -> None:
    preprocess = Preprocess(shapes.mean, shapes.std, crop=PaddedCrop(8, padding=1, border="mean"))
    model, other = make_net(width=4, seed=0), make_net(width=4, seed=0)
    parts = Parts(CPU, OFF, shapes, preprocess, model)
    assess(parts, stream=stream(100), subject=SUBJECT, out=tmp_path / "new" / "folder")
    evaluated = read_evaluation(tmp_path / "new" / "folder")
    assert evaluated.subject == SUBJECT
    stored = Evaluation(other, shapes.test, preprocess=preprocess, precision=OFF)()
    recompute_batch_norm(
        other, training_batches(shapes.train, stream(100), first=7, preprocess=preprocess), precision=OFF
    )
    again = Evaluation(other, shapes.test, preprocess=preprocess, precision=OFF)()
    found = [(score.loss, score.error) for score in evaluated.scores if score.split == "test"]
    assert found == [pytest.approx(stored, rel=1e-6), pytest.approx(again, rel=1e-6)]
    assert stored[0] != pytest.approx(again[0], rel=1e-3)
    confidences = [predictions.confidence for predictions in evaluated.predictions.values()]
    assert not np.allclose(*confidences)


def test_a_net_without_bn_has_one_kind_of_predictions(
    shapes: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_net(width=4, norm="none", seed=0)
    preprocess = Preprocess(shapes.mean, shapes.std, crop=PaddedCrop(8, padding=1, border="mean"))
    with caplog.at_level(logging.INFO):
        parts = Parts(CPU, OFF, shapes, preprocess, model)
        assess(parts, stream=stream(100), subject=Subject("bare", 0, "shapes", None, "bare.pt"), out=tmp_path)
    assert list(read_evaluation(tmp_path).predictions) == ["stored"]
    assert json.loads((tmp_path / "evaluation.json").read_text())["step"] is None
    assert [record.getMessage().split("  ")[0] for record in caplog.records] == [
        "training images 100",
        "test images 50",
    ]
