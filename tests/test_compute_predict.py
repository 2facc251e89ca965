"""Classes, confidences and ranks from logits, and logits from a net in batches."""

import math

import numpy as np
import pytest
import torch

from resnet_exp.compute import evaluate
from resnet_exp.compute.device import Precision
from resnet_exp.compute.evaluate import Evaluation
from resnet_exp.compute.predict import batch_rows, logits_of, predict, ranked
from resnet_exp.data.crops import PaddedCrop
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Dataset, Split
from tests.helpers import make_net

OFF = Precision("off", "cpu")


def test_classes_confidences_and_ranks_against_loops() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (200, 7)).round(0)  # many are equal
    labels = random.integers(0, 7, 200)
    found = ranked(logits, labels)
    for row, label, predicted, confidence, rank in zip(
        logits.tolist(), labels.tolist(), found.predicted, found.confidence, found.rank, strict=True
    ):
        order = sorted(range(7), key=lambda c: (-row[c], c))
        assert predicted == order[0]
        assert rank == order.index(label) + 1
        assert confidence == pytest.approx(math.exp(row[order[0]]) / sum(map(math.exp, row)))
    assert ((found.rank == 1) == (found.predicted == labels)).all()


def test_huge_logits_have_a_confidence_and_those_that_are_no_numbers_none() -> None:
    found = ranked(
        np.array([[1e300, 0, 0], [-1e300, -1e300, -2e300], [0, math.nan, 1], [math.nan] * 3]), np.arange(4) % 3
    )
    assert found.confidence[:2].tolist() == [1, 0.5]
    assert np.isnan(found.confidence[2:]).all()
    assert found.predicted.tolist() == [0, 0, 2, 0]
    assert found.rank.tolist() == [1, 2, 1, 1]


def test_the_loss_is_the_mean_cross_entropy() -> None:
    logits, labels = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 4
    by_hand = [
        -math.log(math.exp(r[t]) / sum(map(math.exp, r))) for r, t in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    found, loss = predict(logits, labels)
    assert loss == pytest.approx(sum(by_hand) / 50, rel=1e-6)
    assert found.predicted.tolist() == logits.argmax(1).tolist()


@pytest.mark.parametrize("most", [1000, 50, 17, 1])
def test_logits_are_those_of_eval_mode_whatever_the_batches(
    shapes: Dataset, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setitem(evaluate.BATCH, "cpu", most)
    model = make_net(width=4, seed=0).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    logits = logits_of(
        model,
        shapes.test,
        preprocess=Preprocess(shapes.mean, shapes.std, crop=PaddedCrop(8, padding=1, border="mean")),
        precision=OFF,
    )
    assert model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    images = shapes.test.images.permute(0, 3, 1, 2).float() / 255
    images = (images - shapes.mean.view(1, 3, 1, 1)) / shapes.std.view(1, 3, 1, 1)
    with torch.no_grad():
        assert torch.allclose(logits, model.eval()(images), atol=1e-5)
    assert not logits.requires_grad


@pytest.mark.parametrize("images", [1, 49, 50, 51])
def test_batches_have_one_shape_and_hold_every_image(images: int) -> None:
    split = Split(torch.zeros(images, 4, 4, 3, dtype=torch.uint8), torch.zeros(images, dtype=torch.int64))
    rows = batch_rows(split, most=10)
    assert len({len(batch) for batch in rows}) == 1
    assert len(rows[0]) <= 10
    assert torch.cat(rows)[:images].tolist() == list(range(images))
    assert torch.cat(rows)[images:].eq(images - 1).all()


@pytest.mark.parametrize("precision", ["off", "bf16"])
def test_the_error_is_that_of_the_evaluation(shapes: Dataset, precision: str) -> None:
    model, chosen = make_net(width=4, seed=0), Precision(precision, "cpu")
    preprocess = Preprocess(shapes.mean, shapes.std, crop=PaddedCrop(8, padding=1, border="mean"))
    logits = logits_of(model, shapes.train, preprocess=preprocess, precision=chosen)
    assert logits.dtype == torch.float32
    found, loss = predict(logits, shapes.train.labels)
    expected = Evaluation(model, shapes.train, preprocess=preprocess, precision=chosen)()
    assert (loss, 100 * (found.rank > 1).mean()) == pytest.approx(expected, rel=1e-6)
    if precision == "bf16":  # it is what was asked for: float32 gives other logits
        other = logits_of(model, shapes.train, preprocess=preprocess, precision=OFF)
        assert not torch.equal(logits, other)


def test_whoever_asks_ends_it_and_the_mode_stays(shapes: Dataset) -> None:
    def end() -> None:
        raise KeyboardInterrupt

    model = make_net(width=4).train()
    preprocess = Preprocess(shapes.mean, shapes.std, crop=PaddedCrop(8, padding=1, border="mean"))
    with pytest.raises(KeyboardInterrupt):
        logits_of(model, shapes.test, preprocess=preprocess, precision=OFF, check=end)
    assert model.training
