"""Mixed precision whose weights are cast all at once."""

import torch
from torch import Tensor, nn
from torch.func import functional_call


class CastWeights:
    """A net whose convolutions and head have copies in half precision, beside the float32 weights that SGD updates.

    Autocast would cast each weight in every step, and each gradient back: two launches a layer, for weights so few
    that launching is what it costs. Here one launch casts them all, and another their gradients; the numbers are the
    same. Float32 master weights: Micikevicius et al., Mixed Precision Training, arXiv 1710.03740, 3.1.

    Args:
        model: its parameters stay what they are.
        dtype: of the copies; None: there are none, and the net is used as it is.
    """

    def __init__(self, model: nn.Module, *, dtype: torch.dtype | None) -> None:
        self.model = model
        self.copies: dict[str, Tensor] = {}
        self.originals: list[Tensor] = []
        if dtype is None:
            return
        for path, module in model.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                for name, weight in module.named_parameters(recurse=False):
                    self.copies[f"{path}.{name}"] = weight.detach().to(dtype).requires_grad_()
                    self.originals.append(weight)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes) of images (N, 3, S, S), with the weights as they are now; call it under autocast."""
        if not self.copies:
            return self.model(images)
        with torch.no_grad():
            torch._foreach_copy_(list(self.copies.values()), self.originals)
        return functional_call(self.model, self.copies, (images,))

    @torch.no_grad()
    def return_gradients(self) -> None:
        """After a backward pass: gives the gradients of the copies to the weights they were cast from, in float32."""
        if not self.copies:
            return
        gradients = [torch.empty_like(original) for original in self.originals]
        torch._foreach_copy_(gradients, [copy.grad for copy in self.copies.values() if copy.grad is not None])
        for original, copy, gradient in zip(self.originals, self.copies.values(), gradients, strict=True):
            original.grad, copy.grad = gradient, None
