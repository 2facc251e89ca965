"""What was measured of the loss around a net, as numbers to draw and to compare."""

from collections.abc import Sequence

import numpy as np

from resnet_exp.runs.diagnostics import Diagnosis, Row
from resnet_exp.why.measured import Floats, Group

MODES = {"stored": "stored BN statistics", "batch": "each batch's own"}
MOST = 6  # nets side by side; more would be too small to read


def rows_of(one: Diagnosis, kind: str, *, batch_norm: str) -> list[Row]:
    return [row for row in one.rows if row["kind"] == kind and row["batch_norm"] == batch_norm]


def modes_of(one: Diagnosis) -> list[str]:
    """The kinds of BN statistics it was measured with; a net without BN has `stored` alone."""
    return [mode for mode in MODES if rows_of(one, "line", batch_norm=mode)]


def line(one: Diagnosis, *, batch_norm: str) -> tuple[Floats, Floats]:
    """How far the weights were moved, rising, and the loss there, both (N,)."""
    found = {float(row["alpha"]): float(row["loss"]) for row in rows_of(one, "line", batch_norm=batch_norm)}
    return np.array(sorted(found)), np.array([found[alpha] for alpha in sorted(found)])


def grid(one: Diagnosis, kind: str, *, batch_norm: str) -> tuple[Floats, Floats, Floats] | None:
    """Alphas (A,) and betas (B,), rising, and the loss there, (B, A); None if it was not measured."""
    found = {
        (float(row["alpha"]), float(row["beta"])): row["loss"] for row in rows_of(one, kind, batch_norm=batch_norm)
    }
    if not found:
        return None
    alphas, betas = (sorted({point[axis] for point in found}) for axis in (0, 1))
    loss = [[found.get((alpha, beta), np.nan) for alpha in alphas] for beta in betas]
    return np.array(alphas), np.array(betas), np.array(loss, float)


def path(one: Diagnosis) -> list[Row]:
    """The trajectory, in order; empty if too few weights were kept."""
    return sorted(rows_of(one, "trajectory", batch_norm=modes_of(one)[-1]), key=lambda row: row["step"])


def rise(one: Diagnosis, *, batch_norm: str, distance: float) -> float:
    """By how much the loss is higher `distance` away from the net, the mean of both sides, than at the net."""
    alphas, loss = line(one, batch_norm=batch_norm)
    at = dict(zip(alphas.round(6), loss, strict=True))
    with np.errstate(invalid="ignore"):  # of losses that are no numbers
        return float((at[distance] + at[-distance]) / 2 - at[0.0])


def shown(groups: Sequence[Group]) -> list[Group]:
    """Those that fit side by side: of each kind of net as many depths, the shallowest and the deepest among them."""
    if len(groups) <= MOST:
        return list(groups)
    variants = list(dict.fromkeys(group.variant for group in groups))[:MOST]
    chosen = []
    for variant in variants:
        depths = [group for group in groups if group.variant == variant]
        number = min(len(depths), MOST // len(variants))
        places = np.linspace(len(depths) - 1, 0, number).round().astype(int)  # the deepest, if only one
        chosen += [depths[place] for place in sorted(places)]
    return chosen
