"""Nets with blocks removed, against nets that are built without them."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_exp.diagnostics import lesion as lesion_module
from resnet_exp.diagnostics.case import Case, open_case
from resnet_exp.diagnostics.lesion import QUESTION, Lesion, injured, lesions_of
from resnet_exp.diagnostics.question import ask
from resnet_exp.nets.network import Network
from resnet_exp.runs.diagnostics import Row, read_diagnosis
from resnet_exp.training.stop import Stopped
from tests.helpers import TINY, Settings, make_net, run

IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def trained_net(**net: object) -> Network:
    """A net whose BN statistics are no longer those it began with, in eval mode."""
    model = make_net(seed=0, width=4, **net)
    model(IMAGES)
    return model.eval()


def logits(model: Network, lesion: Lesion) -> Tensor:
    with torch.no_grad(), injured(model, lesion):
        return model(IMAGES)


def by_hand(model: Network, compute: Callable[[int, torch.nn.Module, Tensor], Tensor]) -> Tensor:
    """Logits of a v1 CIFAR net whose block n gives `compute(n, block, x)`."""
    with torch.no_grad():
        x = F.relu(model.bn1(model.conv1(IMAGES)))
        for number, block in enumerate(model.blocks, 1):
            x = compute(number, block, x)
        return model.fc(x.mean((2, 3)))


def whole(block: torch.nn.Module, x: Tensor) -> Tensor:
    y = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
    return F.relu(y if block.downsample is None else y + block.downsample(x))


def test_a_residual_block_leaves_its_shortcut_and_its_relu() -> None:
    model = trained_net(depth=14)
    for removed in (1, 3, 4):  # of 14 layers block 3 is the first that changes the shape

        def compute(number: int, block: torch.nn.Module, x: Tensor, removed: int = removed) -> Tensor:
            return F.relu(block.downsample(x)) if number == removed else whole(block, x)

        expected = by_hand(model, compute)
        assert torch.equal(logits(model, Lesion("one", (removed,))), expected)
        assert not torch.allclose(expected, by_hand(model, lambda number, block, x: whole(block, x)))


def test_a_plain_block_is_passed_over() -> None:
    model = trained_net(depth=14, shortcut="none")
    expected = by_hand(model, lambda number, block, x: x if number in (2, 4) else whole(block, x))
    assert torch.equal(logits(model, Lesion("several", (2, 4))), expected)


def test_neighbours_change_places() -> None:
    model = trained_net(depth=20)
    places = {2: model.blocks[2], 3: model.blocks[1]}
    expected = by_hand(model, lambda number, block, x: whole(places.get(number, block), x))
    assert torch.equal(logits(model, Lesion("swap", (2, 3))), expected)
    assert not torch.allclose(expected, logits(model, Lesion("none", ())))


@pytest.mark.parametrize("net", [{}, {"block": "v2"}, {"shortcut": "B"}, {"depth": 11, "bottleneck": True}])
def test_a_branch_of_zeros_can_go_without_a_change(net: dict[str, object]) -> None:
    model = trained_net(**net)
    before = logits(model, Lesion("none", ()))
    for number, block in enumerate(model.blocks, 1):
        ending = block.ending
        kept = {name: tensor.clone() for name, tensor in ending.named_parameters()}
        for tensor in ending.parameters():
            torch.nn.init.zeros_(tensor)
        assert torch.equal(logits(model, Lesion("one", (number,))), logits(model, Lesion("none", ())))
        for name, tensor in ending.named_parameters():
            tensor.data.copy_(kept[name])
        assert not torch.equal(logits(model, Lesion("one", (number,))), before), number


def test_the_net_is_whole_again_whatever_happens() -> None:
    model = trained_net(depth=14)
    before = logits(model, Lesion("none", ()))
    for lesion in (Lesion("one", (1,)), Lesion("several", (1, 2)), Lesion("swap", (1, 2))):
        with pytest.raises(RuntimeError), injured(model, lesion):
            raise RuntimeError
        assert torch.equal(logits(model, Lesion("none", ())), before)
    assert not any("forward" in vars(block) for block in model.blocks)


def test_what_is_done_to_a_net() -> None:
    residual, plain = lesions_of(make_net(depth=20)), lesions_of(make_net(depth=20, shortcut="none"))
    for lesions, removable in ((residual, range(1, 10)), (plain, [1, 2, 3, 5, 6, 8, 9])):
        assert lesions[0] == Lesion("none", ())
        assert [lesion.blocks for lesion in lesions if lesion.kind == "one"] == [(number,) for number in removable]
        assert [x.blocks for x in lesions if x.kind == "swap"] == [(1, 2), (2, 3), (5, 6), (8, 9)]
        several = [lesion for lesion in lesions if lesion.kind == "several"]
        assert {len(lesion.blocks) for lesion in several} == {2, 3}
        assert all(set(lesion.blocks) <= set(removable) for lesion in several)
        assert len({lesion.key for lesion in lesions}) == len(lesions)
    assert lesions_of(make_net(depth=20, seed=5)) == residual


@pytest.fixture(scope="module")
def case(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Case:
    config = settings(*TINY, "model=resnet", "depth=14", "optim.lr=0.05")
    path = tmp_path_factory.mktemp("run")
    run(config, path)
    return open_case(config, path)


def answers(case: Case) -> list[Row]:
    return [row for piece in QUESTION.measure(case, []) for row in piece]


def test_errors_are_those_of_the_images_with_both_kinds_of_statistics(case: Case) -> None:
    rows = answers(case)
    assert len(rows) == 2 * QUESTION.pieces(case)
    model, test = case.load(6), case.parts.dataset.test
    with torch.no_grad():
        found = model(case.shown(test.images))
    stored = [row for row in rows if row["batch_norm"] == "stored"]
    wrong = int((found.argmax(1) != test.labels).sum())
    assert stored[0]["error"] == pytest.approx(100 * wrong / len(test))
    assert stored[0]["loss"] == pytest.approx(float(F.cross_entropy(found, test.labels)), rel=1e-5)
    again = [row["loss"] for row in rows if row["batch_norm"] == "re-estimated"]
    assert not np.allclose([row["loss"] for row in stored], again, rtol=1e-3)
    with torch.no_grad(), injured(model, Lesion("one", (2,))):
        found = model(case.shown(test.images))
    (row,) = (row for row in stored if row["blocks"] == "block2")
    assert row["loss"] == pytest.approx(float(F.cross_entropy(found, test.labels)), rel=1e-5)


def test_the_net_keeps_its_bytes_and_what_is_known_is_left_out(case: Case, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in case.load(6).state_dict().items()}
    pieces = list(QUESTION.measure(case, []))
    assert not case.model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in case.model.state_dict().items())
    known = [row for piece in pieces[:5] for row in piece]
    assert list(QUESTION.measure(case, known)) == pieces[5:]


def test_it_goes_on_from_a_file(case: Case) -> None:
    def stop() -> None:
        raise Stopped(15)

    with pytest.raises(Stopped):
        ask(QUESTION, case, check=stop, fresh=True)
    half = read_diagnosis(case.path, "lesion")
    assert half is not None
    found = ask(QUESTION, case, check=lambda: None, fresh=False)
    assert len({(row["kind"], row["blocks"], row["draw"], row["batch_norm"]) for row in found.rows}) == len(found.rows)
    assert len(found.rows) == 2 * QUESTION.pieces(case)


@pytest.mark.parametrize(("more", "images"), [((), 64), (("train.batch_size=64",), 128), (("norm=none",), 0)])
def test_the_record_says_on_how_many_images_statistics_were_estimated(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], images: int
) -> None:
    """There are a hundred."""
    case = open_case(settings(*TINY, "model=resnet", "depth=8", *more), tmp_path)
    used: list[int] = []

    def count(model: Network, batches: Iterable[Tensor], **more: object) -> None:
        used.append(sum(len(batch) for batch in batches))

    monkeypatch.setattr(lesion_module, "recompute_batch_norm", count)
    answers(case)
    assert QUESTION.choices(case)["batch_norm_images"] == images
    assert {*used} == ({images} if images else set())
