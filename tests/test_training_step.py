"""One update: the sums it keeps, and the state it goes on from."""

import pytest
import torch

from resnet_exp.compute.totals import Totals
from resnet_exp.data.sets import Dataset
from resnet_exp.training.step import State
from tests.helpers import make_net


def test_the_first_bad_step_is_the_first(shapes: Dataset) -> None:
    totals = Totals(torch.device("cpu"))
    for at, loss in enumerate([1.0, 2.0, float("nan"), float("inf"), 1.0]):
        totals.watch(torch.tensor(loss), step=torch.tensor(at))
    assert int(totals.first_bad_step) == 2
    totals.clear()
    assert int(totals.first_bad_step) == 2


def test_totals_are_means_over_images() -> None:
    totals = Totals(torch.device("cpu"))
    assert totals.read() is None
    totals.add(loss=torch.tensor(4.0), wrong=torch.tensor(1), images=4)
    totals.add(loss=torch.tensor(8.0), wrong=torch.tensor(2), images=torch.tensor(2))
    assert totals.read() == (pytest.approx((4 * 1 + 2 * 4) / 6), pytest.approx(100 * 3 / 6))


def test_a_scaler_is_not_expected_where_the_run_began_without_one() -> None:
    """A run begun on a CPU, where `amp=auto` is off, and resumed on a GPU that has only fp16."""
    model = make_net(width=4, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    without, scaled = (
        State(model, optimizer, torch.amp.GradScaler("cpu", enabled=enabled), Totals(torch.device("cpu")), step=step)
        for enabled, step in ((False, 7), (True, 0))
    )
    scaled.load_state_dict(without.state_dict())
    assert scaled.step == 7
    assert scaled.scaler.get_scale() == 65536.0
