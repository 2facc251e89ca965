"""Sums over images that stay on the device until somebody reads them."""

import torch
from torch import Tensor


class Totals:
    """Sums over images, kept on the device and read once per evaluation.

    `loss` (float64), `wrong` and `images` (int64): sums; `first_bad_step` (int64): first step with a loss that is not
    finite, or -1.
    """

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.wrong = torch.zeros((), dtype=torch.int64, device=device)
        self.images = torch.zeros((), dtype=torch.int64, device=device)
        self.first_bad_step = torch.full((), -1, dtype=torch.int64, device=device)

    def add(self, *, loss: Tensor, wrong: Tensor, images: int | Tensor) -> None:
        """Counts images: the sum of their losses, how many were wrong, how many there are."""
        self.loss += loss
        self.wrong += wrong
        self.images += images

    def watch(self, loss: Tensor, *, step: Tensor) -> None:
        """Notes `step` (int64) if it is the first whose loss is not finite."""
        bad_now = ~loss.isfinite() & (self.first_bad_step < 0)
        self.first_bad_step.copy_(torch.where(bad_now, step, self.first_bad_step))

    def read(self) -> tuple[float, float] | None:
        """Mean loss and error in %, or None if no image was counted. Waits for the device."""
        loss, wrong, images = torch.stack([self.loss, self.wrong.double(), self.images.double()]).tolist()
        return (loss / images, 100 * wrong / images) if images else None

    def clear(self) -> None:
        """Starts new sums; the first bad step stays."""
        for total in (self.loss, self.wrong, self.images):
            total.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, total in vars(self).items():
            total.copy_(state[name])
