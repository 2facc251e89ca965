"""What is read of the image and its class, against a slow, obvious computation and where the answer is known."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_exp.diagnostics import information
from resnet_exp.diagnostics.case import Case, open_case
from resnet_exp.diagnostics.information import (
    FEATURES,
    QUESTION,
    Mixer,
    features_of,
    places_of,
    read,
    targets_of,
    with_own_statistics,
)
from resnet_exp.diagnostics.ridge import PENALTIES
from resnet_exp.runs.diagnostics import Row
from tests.helpers import TINY, Settings, run


def case_of(settings: Settings, path: Path, *more: str, trained: bool = False) -> Case:
    config = settings(*TINY, *more)
    if trained:
        run(config, path)
    return open_case(config, path)


def answers(case: Case) -> list[Row]:
    return [row for piece in QUESTION.measure(case, []) for row in piece]


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_outputs(state: dict[str, Tensor], fitted: Tensor, held_out: Tensor, *, residual: bool) -> list[list[Tensor]]:
    """Of the stem and of each of three blocks of a v1 net, for both splits; BN by the fitted images' mean and
    variance."""

    def layer(pair: list[Tensor], name: str, number: int, stride: int = 1) -> list[Tensor]:
        prefix = f"{name}." if name else ""
        pair = [F.conv2d(x, state[f"{prefix}conv{number}.weight"], stride=stride, padding=1) for x in pair]
        mean, var = pair[0].mean((0, 2, 3)), pair[0].var((0, 2, 3))
        scale = state[f"{prefix}bn{number}.weight"] / (var + 1e-5).sqrt()
        shift = state[f"{prefix}bn{number}.bias"] - mean * scale
        return [x * scale[:, None, None] + shift[:, None, None] for x in pair]

    pair = [x.relu() for x in layer([fitted, held_out], "", 1)]
    found = [pair]
    for stage in (1, 2, 3):
        stride = 1 if stage == 1 else 2
        inner = layer([x.relu() for x in layer(pair, f"layer{stage}.0", 1, stride)], f"layer{stage}.0", 2)
        shortcut = [
            F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
            for x, y in zip(pair, inner, strict=True)
        ]
        pair = [(y + x if residual else y).relu() for x, y in zip(shortcut, inner, strict=True)]
        found.append(pair)
    return found


def slow_reading(fitted: Tensor, held_out: Tensor, target: Tensor, penalty: float) -> Tensor:
    """Normal equations of centred features; what they say of the others."""
    inputs, mean = fitted - fitted.mean(0), target.mean(0)
    size = inputs.square().sum() / inputs.shape[1]
    normal = inputs.T @ inputs + penalty * size * torch.eye(inputs.shape[1], dtype=torch.float64)
    return (held_out - fitted.mean(0)) @ torch.linalg.solve(normal, inputs.T @ (target - mean)) + mean


@pytest.mark.parametrize("model", ["plain", "resnet"])
def test_a_trained_net_agrees_with_a_slow_computation(
    settings: Settings, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(information, "FEATURES", 24)
    case = case_of(settings, tmp_path, f"model={model}", "depth=8", "optim.lr=0.05", trained=True)
    rows = [row for row in answers(case) if row["step"] == 6]
    assert [row["name"] for row in rows] == ["pixels", "stem", "layer1.0", "layer2.0", "layer3.0"]
    state = {name: tensor.double() for name, tensor in case.load(6).state_dict().items()}
    train, test = case.some("train", most=100), case.some("test", most=50)
    images = [case.shown(split.images).double() for split in (train, test)]
    outputs = [images, *slow_outputs(state, *images, residual=model == "resnet")]
    for row, (one, other) in zip(rows, outputs, strict=True):
        units = one[0].numel()
        mixture = torch.randn(units, 24, generator=torch.Generator().manual_seed(0)).double() / units**0.5
        one, other = one.flatten(1) @ mixture, other.flatten(1) @ mixture
        hidden = images[1].flatten(1)  # of 8x8: nothing is averaged
        said = slow_reading(one, other, images[0].flatten(1), float(row["penalty_of_image"]))
        off, spread = (hidden - said).square().sum(), (hidden - images[0].flatten(1).mean(0)).square().sum()
        assert row["units"] == units
        assert row["r2"] == pytest.approx(1 - float(off / spread), abs=2e-4), row["name"]
        classes = torch.eye(10, dtype=torch.float64)[train.labels]
        guessed = slow_reading(one, other, classes, float(row["penalty_of_class"])).argmax(1)
        assert row["error"] == pytest.approx(100 * float((guessed != test.labels).double().mean()), abs=2.1)
    assert rows[0]["r2"] != rows[1]["r2"] != rows[2]["r2"]


def test_images_are_averaged_to_the_side_that_is_read(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=plain", "depth=8", "data.image_size=16")
    split = case.some("test", most=50)
    images, classes = targets_of(case, split)
    shown = case.shown(split.images).double()
    slow = sum(shown[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
    torch.testing.assert_close(images, slow.flatten(1), rtol=0, atol=1e-6)
    assert torch.equal(classes.argmax(1), split.labels)
    assert torch.equal(classes.sum(1), torch.ones(50, dtype=torch.float64))


def test_what_an_invertible_linear_layer_puts_out_is_read_to_the_last_digits() -> None:
    x = draws(400, 48)
    features = (x @ draws(48, FEATURES, seed=1)).float()
    classes = F.one_hot(x[:, :3].argmax(1)).double()
    found = read(features[:300], features[300:], targets=(x[:300], classes[:300]), hidden=(x[300:], classes[300:]))
    assert 1 - 1e-8 < found.r2 <= 1
    assert found.penalties[0] == PENALTIES[0]


def test_separable_classes_are_told_without_an_error_and_constant_features_tell_nothing() -> None:
    labels = torch.arange(90) % 3
    classes = F.one_hot(labels).double()
    apart = (classes + 0.1 * draws(90, 3)) @ draws(3, FEATURES, seed=1)
    images = draws(90, 12, seed=2)
    parts = {"targets": (images[:60], classes[:60]), "hidden": (images[60:], classes[60:])}
    assert read(apart[:60], apart[60:], **parts).error == 0
    same = torch.full((90, FEATURES), 0.3)
    found = read(same[:60], same[60:], **parts)
    assert found.r2 == pytest.approx(0, abs=0.05)  # the mean of sixty images is not that of the others
    assert found.error > 60


def test_of_shuffled_images_nothing_is_read(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=resnet", "depth=8", "data.train_limit=400", "data.test_limit=200")
    train, test = case.some("train", most=400), case.some("test", most=200)
    targets, hidden = targets_of(case, train), targets_of(case, test)
    places = places_of(case.model)
    (fitted, _), (held_out, _) = with_own_statistics(case, 0, places, train, test)
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    shuffled = (targets[0][order], targets[1][order])
    for one, other in zip(fitted, held_out, strict=True):
        true = read(one, other, targets=targets, hidden=hidden)
        control = read(one, other, targets=shuffled, hidden=hidden)
        assert true.r2 > 0.3
        assert abs(control.r2) < 0.05
        assert true.error < 75
        assert control.error > 80  # of ten classes


def test_a_net_that_diverged_has_no_number() -> None:
    x = draws(20, 4)
    classes = F.one_hot(torch.arange(20) % 2).double()
    found = read(x, x / 0, targets=(x, classes), hidden=(x, classes))
    assert math.isnan(found.r2)
    assert math.isnan(found.error)


def test_all_places_have_equally_many_features_mixed_in_the_same_way(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=plain", "depth=8")
    images = case.some("test", most=50).images
    features, units = features_of(case, places_of(case.model), images)
    assert units == [3 * 64, 4 * 64, 4 * 64, 8 * 16, 16 * 4]
    assert {tuple(of_place.shape) for of_place in features} == {(50, FEATURES)}
    x = torch.randn(50, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    assert torch.equal(Mixer()(x), Mixer()(x.contiguous()))
    length = (Mixer()(x).square().mean(1) / x.square().mean((1, 2, 3))).mean()
    assert length == pytest.approx(1, abs=0.1)  # distances are kept


def test_of_too_many_units_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(information, "UNITS", 40)
    features = Mixer()(torch.eye(100))
    assert features.shape == (100, FEATURES)
    used = (features != 0).any(1)
    assert int(used.sum()) == 40
    assert used[40:].any()  # from everywhere, not the first
    assert int((Mixer()(torch.eye(40)) != 0).any(1).sum()) == 40


def test_the_places_of_a_net_with_two_blocks_a_stage(settings: Settings, tmp_path: Path) -> None:
    rows = answers(case_of(settings, tmp_path, "model=plain", "depth=14"))
    assert [(row["name"], row["stage"], row["block"], row["layers"]) for row in rows] == [
        ("pixels", 0, 0, 0),
        ("stem", 0, 0, 1),
        ("layer1.0", 1, 1, 3),
        ("layer1.1", 1, 2, 5),
        ("layer2.0", 2, 3, 7),
        ("layer2.1", 2, 4, 9),
        ("layer3.0", 3, 5, 11),
        ("layer3.1", 3, 6, 13),
    ]


def test_an_image_goes_through_the_net_alone(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=plain", "depth=8")
    places = places_of(case.model)
    train, test = case.some("train", most=100), case.some("test", most=50)
    (few, _) = with_own_statistics(case, 0, places, train, test.take(torch.arange(3)))[1]
    (many, _) = with_own_statistics(case, 0, places, train, test)[1]
    for one, other in zip(few, many, strict=True):
        torch.testing.assert_close(one, other[:3], rtol=1e-4, atol=1e-5)


def test_the_stem_of_a_v2_net_is_read_before_it_is_activated(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=preact", "depth=8")
    images = case.some("test", most=50).images
    (_, stem, *_), _ = features_of(case, places_of(case.model), images)
    slow = F.conv2d(case.shown(images), case.model.state_dict()["conv1.weight"], padding=1)
    torch.testing.assert_close(stem, Mixer()(slow), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("net", "layers"),
    [
        (("model=preact", "depth=8"), [0, 1, 3, 5, 7]),
        (("model=bottleneck", "depth=11"), [0, 1, 4, 7, 10]),
        (("model=resmlp", "depth=6"), [0, 1, 3, 5]),
        (("model=plain", "depth=8", "norm=none"), [0, 1, 3, 5, 7]),
        (("model=vgg19", "depth=11", "width=4", "data.image_size=32"), list(range(9))),
    ],
)
def test_any_net_answers(settings: Settings, tmp_path: Path, net: tuple[str, ...], layers: list[int]) -> None:
    case = case_of(settings, tmp_path, *net)
    rows = answers(case)
    assert [row["layers"] for row in rows] == layers
    assert all(np.isfinite(float(row["r2"])) and 0 <= float(row["error"]) <= 100 for row in rows)
    assert (QUESTION.choices(case)["batch_norm"] == "none") == (not case.model.batch_norms)


def test_measuring_leaves_the_net_as_it_was(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=resnet", "depth=8", trained=True)
    before = {name: tensor.clone() for name, tensor in case.load(6).state_dict().items()}
    for _ in QUESTION.measure(case, []):
        pass
    assert not case.model.training
    for name, tensor in case.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in case.model.modules())


def test_what_is_known_is_left_out_and_the_rest_is_the_same(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_of(settings, tmp_path, "model=resnet", "depth=8", trained=True)
    pieces = list(QUESTION.measure(case, []))
    assert len(pieces) == QUESTION.pieces(case) == 2 * 5
    known = [row for piece in pieces[:7] for row in piece]
    assert list(QUESTION.measure(case, known)) == pieces[7:]
    monkeypatch.setattr(information, "PLACES_AT_ONCE", 2)
    assert list(QUESTION.measure(case, [])) == pieces


def test_statistics_are_of_no_single_image(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(information, "BATCH_NORM_AT_ONCE", 33)  # of a hundred
    case = case_of(settings, tmp_path, "model=mlp", "depth=6")
    assert all(np.isfinite(float(row["r2"])) for row in answers(case))
    assert "batches of 25," in QUESTION.choices(case)["batch_norm"]
