"""Errors over a split, and BN statistics recomputed for the last weights."""

import pytest
import torch

from resnet_exp.compute import evaluate
from resnet_exp.compute.device import Precision
from resnet_exp.compute.evaluate import Evaluation, images_at_a_time, recompute_batch_norm, training_batches
from resnet_exp.data.crops import PaddedCrop
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Dataset, Split
from resnet_exp.data.stream import BatchStream
from resnet_exp.nets.network import Network
from resnet_exp.nets.spec import BlockSpec, NetSpec, Stage, Stem
from tests.helpers import make_net

OFF = Precision("off", "cpu")


def net() -> Network:
    return make_net(width=4, seed=0)


def test_evaluation_is_that_of_eval_mode_and_changes_nothing(shapes: Dataset) -> None:
    model = net().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    preprocess = Preprocess(shapes.mean, shapes.std, crop=PaddedCrop(8, padding=1, border="mean"))
    loss, error = Evaluation(model, shapes.test, preprocess=preprocess, precision=OFF)()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert model.training
    images = shapes.test.images.permute(0, 3, 1, 2).float() / 255
    images = (images - shapes.mean.view(1, 3, 1, 1)) / shapes.std.view(1, 3, 1, 1)
    logits = model.eval()(images)
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits, shapes.test.labels).item(), rel=1e-5)
    assert error == pytest.approx(100 * (logits.argmax(1) != shapes.test.labels).float().mean().item())


def net_of(channels: int) -> NetSpec:
    return NetSpec(Stem(channels), (Stage(1, channels),), BlockSpec((3, 3)))


@pytest.mark.parametrize(
    ("channels", "size", "on_cpu", "on_gpu"),
    [
        (16, 32, 100, 1000),
        (64, 32, 100, 1000),  # bottlenecks of [P1] too
        (64, 64, 25, 250),
        (64, 112, 8, 81),  # what the stem of an ImageNet net puts out
        (64, 224, 2, 20),
        (4096, 224, 1, 1),
    ],
)
def test_fewer_images_at_a_time_where_one_takes_more_memory(channels: int, size: int, on_cpu: int, on_gpu: int) -> None:
    for device, expected in (("cpu", on_cpu), ("cuda", on_gpu)):
        found = images_at_a_time(net_of(channels), image_size=size, device=torch.device(device))
        assert found == expected
        assert found == 1 or found * channels * size**2 <= evaluate.BATCH[device] * 64 * 32 * 32


def test_an_evaluation_is_the_same_however_many_images_are_taken_at_a_time(
    shapes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocess = Preprocess(shapes.mean, shapes.std, crop=PaddedCrop(8, padding=1, border="mean"))
    whole = Evaluation(net(), shapes.test, preprocess=preprocess, precision=OFF)
    monkeypatch.setattr(evaluate, "LARGEST_OUTPUT", 50)  # the net's stem puts out 4 * 8 * 8
    parts = Evaluation(net(), shapes.test, preprocess=preprocess, precision=OFF)
    assert (len(whole.rows), len(parts.rows)) == (50, 17)
    assert parts() == pytest.approx(whole(), rel=1e-6)


def seen_by_training(
    split: Split, *, batch_size: int, augment: bool = True, border: str = "black"
) -> tuple[list[torch.Tensor], BatchStream]:
    """Some batches after the third one, and the stream they come from; normalised by round numbers."""
    crop = PaddedCrop(8, padding=1, border=border)
    stream = BatchStream(num_images=len(split), batch_size=batch_size, crop=crop, augment=augment, seed=5)
    preprocess = Preprocess(torch.full((3,), 0.4), torch.full((3,), 0.3), crop=crop)
    return list(training_batches(split, stream, first=3, preprocess=preprocess)), stream


def test_recomputed_bn_statistics_are_those_of_the_batches(shapes: Dataset) -> None:
    model = net()
    batches, _ = seen_by_training(shapes.train, batch_size=40)
    assert [len(batch) for batch in batches] == [40, 40, 40], "an epoch of 100 images"
    recompute_batch_norm(model, batches, precision=OFF)
    outs = [model.conv1(batch) for batch in batches]
    assert torch.allclose(model.bn1.running_mean, torch.stack([o.mean((0, 2, 3)) for o in outs]).mean(0), atol=1e-5)
    assert torch.allclose(model.bn1.running_var, torch.stack([o.var((0, 2, 3)) for o in outs]).mean(0), rtol=1e-4)
    assert model.bn1.momentum == 0.1


@pytest.mark.parametrize("augment", [True, False])
@pytest.mark.parametrize(("border", "value"), [("black", 0), ("mean", 102)])
def test_bn_is_recomputed_on_batches_like_those_of_training(
    shapes: Dataset, augment: bool, border: str, value: int
) -> None:
    """The next ones of the run's own stream, with their borders."""
    split = shapes.train
    batches, stream = seen_by_training(split, batch_size=50, augment=augment, border=border)
    padded = torch.full((100, 10, 10, 3), value, dtype=torch.uint8)
    padded[:, 1:9, 1:9] = split.images
    for step, batch in zip((3, 4), batches, strict=True):
        images = stream.crop.cut(padded, stream.batches(step))
        assert torch.allclose(batch, (images / 255 - 0.4) / 0.3, atol=1e-6)


def test_bn_is_recomputed_on_images_from_all_of_a_sorted_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "BN_IMAGES", 400)
    brightness = torch.arange(1000) // 4
    rising = Split(brightness.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 8, 8, 3).contiguous(), brightness)
    model, whole = net(), net()
    recompute_batch_norm(model, seen_by_training(rising, batch_size=50)[0], precision=OFF)
    monkeypatch.undo()
    recompute_batch_norm(whole, seen_by_training(rising, batch_size=50)[0], precision=OFF)
    assert torch.allclose(model.bn1.running_mean, whole.bn1.running_mean, atol=0.2)
    assert torch.allclose(model.bn1.running_var, whole.bn1.running_var, rtol=0.3)
