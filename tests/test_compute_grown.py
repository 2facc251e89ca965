"""Growing from a run's weights, and the proof."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_exp.compute import grown as grown_module
from resnet_exp.compute.grown import Agreement, grow_into, logits_in_training, moments_of
from resnet_exp.compute.parts import Parts, prepare
from resnet_exp.compute.predict import logits_of
from resnet_exp.config import Config
from resnet_exp.nets.grow import make_identity
from resnet_exp.nets.network import Network
from resnet_exp.runs.checkpoint import load_checkpoint
from tests.helpers import TINY, Settings, run

SHALLOW = (*TINY, "model=plain", "depth=8", "amp=off", "optim.lr=0.05")


@pytest.fixture(scope="module")
def source(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "plain8" / "seed0"
    run(settings(*SHALLOW), path)
    return path


@pytest.fixture
def deep(settings: Settings) -> tuple[Parts, Config]:
    config = settings(*SHALLOW, "depth=14", "grow_from=['depth=8']")
    return prepare(config, earlier=None), config


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    checkpoint = load_checkpoint(path)
    assert checkpoint is not None
    state: dict[str, torch.Tensor] = checkpoint["state"]["model"]
    return state


def test_the_deeper_net_agrees_and_it_is_recorded(source: Path, deep: tuple[Parts, Config]) -> None:
    parts, config = deep
    record = grow_into(parts, config, source)
    assert (record["from"], record["name"], record["depth"]) == (str(source), "plain8", 8)
    shallow = Network(replace(parts.model.spec, stages=tuple(replace(s, blocks=1) for s in parts.model.spec.stages)))
    shallow.load_state_dict(weights_of(source))
    for where, split in (("train images", parts.dataset.train), ("test images", parts.dataset.test)):
        one, other = (
            logits_of(model, split, preprocess=parts.preprocess, precision=parts.precision)
            for model in (shallow, parts.model)
        )
        found = record[where]
        assert found["difference"] == pytest.approx(float((one - other).abs().max()), rel=1e-6)
        assert found["relative"] < 1e-5
        wrong = 100 * float((one.argmax(1) != split.labels).double().mean())
        assert found["shallow"] == found["deep"] == pytest.approx(wrong)
    assert record["train mode"]["relative"] < 0.2


def test_moments_are_the_means_of_each_batchs(source: Path, settings: Settings) -> None:
    config = settings(*SHALLOW, "data.augment=false")
    parts = prepare(config, earlier=None)
    parts.model.load_state_dict(weights_of(source))
    before = {name: tensor.clone() for name, tensor in parts.model.state_dict().items()}
    mean, variance = moments_of(parts.model, parts, config)[0]
    stream, means, variances = parts.stream(config), [], []
    for step in range(7):  # batches of 16 of a hundred images, all of which are seen
        sample = stream.batches(step)
        images = parts.preprocess.whole(parts.dataset.train.images[sample.indices])
        with torch.no_grad():
            parts.model.train()
            y = parts.model.stages[0](parts.model.begin(images)).transpose(0, 1).flatten(1)
        means.append(y.mean(1))
        variances.append(y.var(1, correction=0))
    assert torch.allclose(mean, torch.stack(means).mean(0), rtol=1e-4, atol=1e-6)
    assert torch.allclose(variance, torch.stack(variances).mean(0), rtol=1e-4, atol=1e-6)
    parts.model.load_state_dict(before)
    moments_of(parts.model, parts, config)
    assert all(torch.equal(tensor, before[name]) for name, tensor in parts.model.state_dict().items())


def test_train_mode_takes_each_batchs_own_statistics_and_moves_none(source: Path, settings: Settings) -> None:
    config = settings(*SHALLOW)
    parts = prepare(config, earlier=None)
    parts.model.load_state_dict(weights_of(source))
    before = [buffer.clone() for buffer in parts.model.buffers()]
    parts.model.eval()
    found = logits_in_training(parts.model, parts.dataset.test, parts, batch_size=25)
    assert all(torch.equal(*pair) for pair in zip(before, parts.model.buffers(), strict=True))
    assert not parts.model.training
    with torch.no_grad():
        parts.model.train()
        expected = parts.model(parts.preprocess.whole(parts.dataset.test.images[:25]))
    assert torch.equal(found[:25], expected)


def test_an_identity_that_is_off_by_a_pixel_is_no_proof(
    source: Path, deep: tuple[Parts, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shifted(layer: torch.nn.Module) -> None:
        make_identity(layer)
        assert isinstance(layer, torch.nn.Conv2d)
        layer.weight.copy_(layer.weight.roll(1, 3))

    monkeypatch.setattr("resnet_exp.nets.grow.make_identity", shifted)
    with pytest.raises(ValueError, match="does not compute what plain8 does"):
        grow_into(*deep, source)


def test_weights_that_cannot_grow_are_refused(
    source: Path, deep: tuple[Parts, Config], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="no weights"):
        grow_into(*deep, tmp_path)
    found = grown_module.read(source)
    for name, tensors in (
        ("diverged", {key: tensor * float("nan") for key, tensor in found.tensors.items()}),
        ("weights for other classes", {**found.tensors, "fc.weight": torch.ones(3, 16), "fc.bias": torch.ones(3)}),
    ):
        monkeypatch.setattr(grown_module, "read", lambda path, tensors=tensors: replace(found, tensors=tensors))
        with pytest.raises(ValueError, match=name):
            grow_into(*deep, source)


def test_agreement_is_counted() -> None:
    one = torch.tensor([[4.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    other = torch.tensor([[4.0, 0.5], [0.0, 1.0], [0.0, 1.0]])
    found = Agreement.of(one, other, torch.tensor([0, 1, 0]))
    assert (found.shallow, found.deep) == (0.0, pytest.approx(100 / 3))
    assert (found.difference, found.relative) == (2.0, 0.5)
