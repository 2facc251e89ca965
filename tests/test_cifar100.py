"""CIFAR-100 through all of it: read in the official format, trained, evaluated, drawn, exported, loaded, described."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

import resnet_exp
from resnet_exp.cli.describe import describe_net
from resnet_exp.compute.assess import evaluate_run
from resnet_exp.compute.evaluate import images_at_a_time
from resnet_exp.compute.export import export
from resnet_exp.compute.parts import prepare
from resnet_exp.runs.evaluation import FOLDER, read_evaluation
from resnet_exp.runs.folder import RunFolder
from resnet_exp.study.evaluation import top5_error_of
from resnet_exp.study.evaluation_report import draw_evaluation
from resnet_exp.study.report import write_report
from tests.helpers import Settings, run

IMAGES = {"train": 200, "test": 100}
SMALL = (
    *("data=cifar100", "data.download=false", "model=resnet", "depth=8", "width=4", "threads=1", "data.image_size=16"),
    *("train.batch_size=16", "train.steps=4", "train.eval_every=2", "train.save_every=4", "amp=off"),
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small `cifar-100-python/`, and torchvision told of its checksums."""
    folder = tmp_path / "data" / "cifar-100-python"
    folder.mkdir(parents=True)
    md5 = {}
    for seed, (part, count) in enumerate(IMAGES.items()):
        pixels = np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)
        content = {"data": pixels, "fine_labels": [i % 100 for i in range(count)], "coarse_labels": [0] * count}
        md5[part] = write(folder / part, content)
    md5["meta"] = write(folder / "meta", {"fine_label_names": [f"thing {i}" for i in range(100)]})
    official = datasets.CIFAR100
    monkeypatch.setattr(official, "train_list", [["train", md5["train"]]])
    monkeypatch.setattr(official, "test_list", [["test", md5["test"]]])
    monkeypatch.setattr(official, "meta", {**official.meta, "md5": md5["meta"]})
    return tmp_path / "data"


def write(file: Path, content: dict[str, object]) -> str:
    file.write_bytes(pickle.dumps(content, protocol=2))
    return hashlib.md5(file.read_bytes()).hexdigest()


def test_cifar100_goes_through_all_of_it(
    root: Path, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, folder = settings(*SMALL, f"data.root={root}"), tmp_path / "study" / "resnet8" / "seed0"
    summary = run(config, folder)
    assert summary["status"] == "completed"
    assert (summary["dataset"]["classes"], summary["dataset"]["class_names"][99]) == (100, "thing 99")

    out = evaluate_run(config, RunFolder(folder))
    found = read_evaluation(out)
    predictions = found.predictions["stored"]
    assert top5_error_of(predictions) == 100 * (predictions.rank > 5).mean()
    assert 100 * (predictions.predicted != found.labels).mean() == pytest.approx(summary["test_error"])
    shown = draw_evaluation(out)
    assert "top-5" in shown
    assert "100 test images of 100 classes" in shown
    assert (folder / FOLDER / "confusion.csv").read_text().count("\n") == 1 + 2 * 100

    write_report(tmp_path / "study", out=tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "CIFAR-100" in page
    assert "top-5" in page

    net = resnet_exp.load(export(config, folder))
    parts = prepare(config, earlier=None)
    pixels = parts.dataset.test.images
    with torch.no_grad():
        logits = net(net.preprocess(pixels))
    assert logits.shape == (100, 100)
    assert net.classes[5] == "thing 5"
    assert images_at_a_time(parts.model.spec, image_size=16, device=parts.device) == 100
    # The logits are those behind the evaluation: the same classes come out.
    assert logits.argmax(1).tolist() == predictions.predicted.tolist()

    describe_net(config, given={"data"})
    assert "100 classes" in capsys.readouterr().out
