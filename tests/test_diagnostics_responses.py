"""The strength of a layer's response, against a slow, obvious computation and what must hold before the first step."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resnet_exp.diagnostics import responses
from resnet_exp.diagnostics.case import Case, open_case
from resnet_exp.diagnostics.responses import QUESTION
from resnet_exp.runs.diagnostics import Row
from tests.helpers import TINY, Settings, run


def case_of(settings: Settings, path: Path, *more: str, trained: bool = False) -> Case:
    config = settings(*TINY, *more)
    if trained:
        run(config, path)
    return open_case(config, path)


def answers(case: Case) -> list[Row]:
    return [row for piece in QUESTION.measure(case, []) for row in piece]


@pytest.mark.parametrize("model", ["plain", "resnet"])
def test_with_bn_every_layer_has_one_before_the_first_step(settings: Settings, tmp_path: Path, model: str) -> None:
    rows = answers(case_of(settings, tmp_path, f"model={model}", "depth=8"))
    own = [row["std"] for row in rows if row["batch_norm"] == "batch"]
    assert len(own) == 7
    np.testing.assert_allclose(own, 1, atol=2e-3)
    stored = [row["std"] for row in rows if row["batch_norm"] == "stored"]
    assert max(abs(float(value) - 1) for value in stored) > 0.1  # whose mean 0 and variance 1 are not these images'


@pytest.mark.parametrize(
    ("more", "stem", "ending"), [(("model=preact",), "other", "other"), (("model=resnet", "zero_init=true"), "1", "0")]
)
def test_where_bn_does_not_follow_or_begins_at_zero_it_is_another(
    settings: Settings, tmp_path: Path, more: tuple[str, ...], stem: str, ending: str
) -> None:
    rows = answers(case_of(settings, tmp_path, *more, "depth=8"))
    own = [float(row["std"]) for row in rows if row["batch_norm"] == "batch"]
    found = ["1" if abs(std - 1) < 2e-3 else "0" if std == 0 else "other" for std in own]
    assert found == [stem, *(["1", ending] * 3)]


def test_a_trained_plain_net_agrees_with_a_slow_computation(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=plain", "depth=8", "optim.lr=0.05", trained=True)
    rows = [row for row in answers(case) if row["step"] == 6]
    state = {name: tensor.double() for name, tensor in case.load(6).state_dict().items()}
    x = case.shown(case.some("train", most=1000).images).double()  # a hundred images: one batch
    names = [("conv1", "bn1", 1)]
    for stage in (1, 2, 3):
        names += [
            (f"layer{stage}.0.conv{n}", f"layer{stage}.0.bn{n}", 2 if n == 1 and stage > 1 else 1) for n in (1, 2)
        ]
    expected: dict[str, list[tuple[float, float]]] = {"batch": [], "stored": []}
    for mode, found in expected.items():
        y = x
        for conv, bn, stride in names:
            y = F.conv2d(y, state[f"{conv}.weight"], stride=stride, padding=1)
            mean, var = y.mean((0, 2, 3)), y.var((0, 2, 3), unbiased=False)
            if mode == "stored":
                mean, var = state[f"{bn}.running_mean"], state[f"{bn}.running_var"]
            y = (y - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
            y = y * state[f"{bn}.weight"][:, None, None] + state[f"{bn}.bias"][:, None, None]
            found.append((float(y.std(unbiased=False)), float(y.std((0, 2, 3), unbiased=False).mean())))
            y = y.relu()
    for mode, found in expected.items():
        measured = [(row["std"], row["std_of_channel"]) for row in rows if row["batch_norm"] == mode]
        np.testing.assert_allclose(measured, found, rtol=1e-4)
    assert not np.allclose(expected["batch"], expected["stored"], rtol=1e-2)


def test_without_bn_it_is_the_layers_own_output(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=plain", "depth=8", "norm=none")
    rows = answers(case)
    assert {row["batch_norm"] for row in rows} == {"stored"}
    images = case.shown(case.some("train", most=1000).images)
    stem = F.conv2d(images, case.load(0).state_dict()["conv1.weight"], padding=1)
    assert rows[0]["std"] == pytest.approx(float(stem.std(unbiased=False)), rel=1e-4)


@pytest.mark.parametrize(
    "net", [("model=preact", "depth=8"), ("model=bottleneck", "depth=11"), ("model=resmlp", "depth=6")]
)
def test_any_net_answers(settings: Settings, tmp_path: Path, net: tuple[str, ...]) -> None:
    rows = answers(case_of(settings, tmp_path, *net))
    assert all(np.isfinite(float(row["std"])) for row in rows)
    assert max(int(row["layer"]) for row in rows) * 2 == len(rows)


def test_measuring_leaves_the_net_as_it_was(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=resnet", "depth=8", trained=True)
    before = {name: tensor.clone() for name, tensor in case.load(6).state_dict().items()}
    for _ in QUESTION.measure(case, []):
        pass
    assert not case.model.training
    for name, tensor in case.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not any(module._forward_hooks for module in case.model.modules())


def test_what_is_known_is_left_out(settings: Settings, tmp_path: Path) -> None:
    case = case_of(settings, tmp_path, "model=resnet", "depth=8", trained=True)
    pieces = list(QUESTION.measure(case, []))
    assert len(pieces) == QUESTION.pieces(case) == 2
    assert list(QUESTION.measure(case, pieces[0])) == pieces[1:]


def test_no_batch_is_of_a_single_image(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which BN has no statistics where a map is 1x1."""
    monkeypatch.setattr(responses, "AT_ONCE", 33)
    case = case_of(settings, tmp_path, "model=mlp", "depth=6")
    assert len(case.parts.dataset.train) == 3 * 33 + 1
    assert all(np.isfinite(float(row["std"])) for row in answers(case))
    assert QUESTION.choices(case)["batch"] == 25
