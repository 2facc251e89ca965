"""The loss around a net, against one that is moved by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resnet_exp.diagnostics import surface
from resnet_exp.diagnostics.case import Case, open_case
from resnet_exp.diagnostics.directions import filter_normalised, movable
from resnet_exp.diagnostics.question import ask
from resnet_exp.diagnostics.surface import QUESTION, evenly, loss_and_error, trajectory_of
from resnet_exp.runs.diagnostics import Row, read_diagnosis
from resnet_exp.training.stop import Stopped
from tests.helpers import TINY, Settings, make_net, run


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "LINE_POINTS", 9)
    monkeypatch.setattr(surface, "PLANE_POINTS", 5)


@pytest.fixture(scope="module")
def case(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Case:
    config = settings(*TINY, "model=resnet", "depth=8", "optim.lr=0.05", "train.snapshots=[0,2,4]")
    path = tmp_path_factory.mktemp("run")
    run(config, path)
    return open_case(config, path)


def answers(case: Case) -> list[Row]:
    return [row for piece in QUESTION.measure(case, []) for row in piece]


def at(rows: list[Row], kind: str, mode: str, alpha: float, beta: float = 0.0) -> Row:
    (row,) = (
        row for row in rows if (row["kind"], row["batch_norm"], row["alpha"], row["beta"]) == (kind, mode, alpha, beta)
    )
    return row


def by_hand(case: Case, alpha: float, beta: float, *, mode: str, most: int, step: int = 6) -> tuple[float, float]:
    """Loss and error (%) of a net built anew, whose weights are moved in double precision."""
    trained = case.load(step)
    directions = filter_normalised(movable(trained), seed=0, number=2)
    model = make_net(width=4).double()
    model.load_state_dict(trained.state_dict())
    with torch.no_grad():
        for weight, d, e in zip(movable(model), *directions, strict=True):
            weight += alpha * d.double() + beta * e.double()
    chosen = case.some("train", most=most)
    losses, wrong = [], 0
    model.train(mode == "batch")
    parts = 2 if most > 64 else 1
    for images, labels in zip(chosen.images.chunk(parts), chosen.labels.chunk(parts), strict=True):
        logits = model(case.shown(images).double()).detach()
        losses += [float(F.cross_entropy(one[None], label[None])) for one, label in zip(logits, labels, strict=True)]
        wrong += sum(int(one.argmax()) != int(label) for one, label in zip(logits, labels, strict=True))
    return sum(losses) / len(losses), 100 * wrong / len(losses)


def test_the_loss_is_that_of_a_net_whose_weights_are_moved(case: Case) -> None:
    rows = answers(case)
    for kind, most, points in (
        ("line", 100, [(0.0, 0.0), (0.25, 0.0), (-1.0, 0.0)]),
        ("plane", 64, [(0.0, 0.0), (0.5, 0.0), (0.5, -1.0)]),
    ):
        for mode in ("stored", "batch"):
            for alpha, beta in points:
                row = at(rows, kind, mode, alpha, beta)
                expected = by_hand(case, alpha, beta, mode=mode, most=most)
                assert (row["loss"], row["error"]) == pytest.approx(expected, rel=2e-4), (kind, mode, alpha, beta)
    assert at(rows, "line", "stored", 0.25)["loss"] != pytest.approx(at(rows, "line", "batch", 0.25)["loss"], rel=1e-2)


def test_line_and_plane_are_even_and_hold_the_net_itself(case: Case) -> None:
    rows = answers(case)
    assert len({tuple(row) for row in rows}) == 1  # all have the same keys
    line = [row["alpha"] for row in rows if row["kind"] == "line" and row["batch_norm"] == "stored"]
    assert line == [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1]
    plane = {(row["alpha"], row["beta"]) for row in rows if row["kind"] == "plane" and row["batch_norm"] == "batch"}
    assert plane == {(alpha, beta) for alpha in (-1, -0.5, 0, 0.5, 1) for beta in (-1, -0.5, 0, 0.5, 1)}
    assert evenly(-1, 1, 41)[10:31:10] == [-0.5, 0, 0.5]


def test_minus_a_direction_is_the_other_side(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    there = answers(case)
    monkeypatch.setattr(
        surface, "filter_normalised", lambda *a, **k: [[-d for d in one] for one in filter_normalised(*a, **k)]
    )
    back = answers(case)
    for row in (row for row in there if row["kind"] in ("line", "plane")):
        other = at(
            back, str(row["kind"]), str(row["batch_norm"]), -float(row["alpha"]) + 0.0, -float(row["beta"]) + 0.0
        )
        assert other["loss"] == row["loss"]


def test_the_path_has_each_steps_own_loss_and_lies_inside_its_plane(case: Case) -> None:
    rows, path = answers(case), trajectory_of(case)
    assert path is not None
    steps = [row for row in rows if row["kind"] == "trajectory" and row["batch_norm"] == "stored"]
    assert [row["step"] for row in steps] == [0, 2, 4, 6] == path.steps
    for row, place in zip(steps, path.coordinates, strict=True):
        assert (row["alpha"], row["beta"]) == pytest.approx(place, rel=1e-6)
        expected = by_hand(case, 0, 0, mode="stored", most=64, step=int(row["step"]))
        assert (row["loss"], row["error"]) == pytest.approx(expected, rel=2e-4)
    around = [(float(row["alpha"]), float(row["beta"])) for row in rows if row["kind"] == "pca"]
    assert len(around) == 25
    for axis in (0, 1):
        low, high = min(point[axis] for point in around), max(point[axis] for point in around)
        places = [place[axis] for place in path.coordinates]
        assert low < min(places) < max(places) < high
    assert {row["batch_norm"] for row in rows if row["kind"] == "pca"} == {"batch"}
    choices = QUESTION.choices(case)
    assert choices["trajectory_steps"] == [0, 2, 4, 6]
    assert choices["explained"] == [round(share, 4) for share in path.explained]
    assert 0.5 < sum(choices["explained"]) <= 1


def test_in_the_plane_of_the_path_the_loss_is_that_of_the_moved_weights(case: Case) -> None:
    rows, path = answers(case), trajectory_of(case)
    assert path is not None
    row = [row for row in rows if row["kind"] == "pca"][7]
    model = make_net(width=4).double()
    model.load_state_dict(case.load(6).state_dict())
    with torch.no_grad():
        for weight, d, e in zip(movable(model), *path.directions, strict=True):
            weight += float(row["alpha"]) * d.double() + float(row["beta"]) * e.double()
    chosen = case.some("train", most=64)
    expected = F.cross_entropy(model(case.shown(chosen.images).double()).detach(), chosen.labels)
    assert row["loss"] == pytest.approx(float(expected), rel=2e-4)


def test_the_net_keeps_its_bytes_whenever_measuring_ends(case: Case) -> None:
    before = {name: tensor.clone() for name, tensor in case.load(6).state_dict().items()}
    for number in (1, 20, 36, 40, 10**6):  # of the line, the plane, the path, its plane, and all
        asked = QUESTION.measure(case, [])
        for _, _ in zip(range(number), asked, strict=False):
            pass
        asked.close()
        after = case.model.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
        assert not any(module.training for module in case.model.modules())


def test_a_loss_that_is_not_finite_stays_so(case: Case) -> None:
    class Wild(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(len(images), 10)
            logits[:, 0] = torch.nan
            return logits

    loss, error = loss_and_error(Wild(), [(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))])  # type: ignore[arg-type]
    assert math.isnan(loss)
    assert error == 100


def test_it_is_measured_alike_each_time_and_what_is_known_is_left_out(case: Case) -> None:
    pieces = list(QUESTION.measure(case, []))
    assert len(pieces) == QUESTION.pieces(case) == 9 + 25 + 4 + 25
    assert list(QUESTION.measure(case, [])) == pieces
    for number in (3, 20, 36, 50):
        known = [row for piece in pieces[:number] for row in piece]
        assert list(QUESTION.measure(case, known)) == pieces[number:]


def test_it_goes_on_from_a_file(case: Case) -> None:
    asked = 0

    def stop() -> None:
        nonlocal asked
        asked += 1
        if asked == 45:  # in the plane of the path, whose coordinates are no round numbers
            raise Stopped(15)

    whole = ask(QUESTION, case, check=lambda: None, fresh=True)
    with pytest.raises(Stopped):
        ask(QUESTION, case, check=stop, fresh=True)
    assert len(ask(QUESTION, case, check=lambda: None, fresh=False).rows) == len(whole.rows)
    found = read_diagnosis(case.path, "surface")
    assert found is not None
    for row, expected in zip(found.rows, whole.rows, strict=True):
        assert list(row.values())[:3] == list(expected.values())[:3]
        assert list(row.values())[3:] == pytest.approx(list(expected.values())[3:], rel=1e-6)


@pytest.mark.parametrize(
    "net",
    [("model=preact", "depth=8"), ("model=plain", "depth=8", "norm=none"), ("model=resmlp", "depth=6")],
)
def test_any_net_answers_and_without_snapshots_has_no_path(
    settings: Settings, tmp_path: Path, net: tuple[str, ...]
) -> None:
    case = open_case(settings(*TINY, *net), tmp_path)
    rows = answers(case)
    assert len(rows) == QUESTION.pieces(case) * (1 if "norm=none" in net else 2) == (34 if "norm=none" in net else 68)
    assert {row["kind"] for row in rows} == {"line", "plane"}
    assert QUESTION.choices(case)["explained"] == []
    assert all(np.isfinite(float(row["loss"])) for row in rows if row["batch_norm"] == "batch")
