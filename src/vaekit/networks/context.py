r"""What becomes of a context before it reaches the parts of a model."""

__all__ = ["OneHot"]

import torch
from torch import Tensor, nn

from vaekit.errors import RequestError


class OneHot(nn.Module):
    r"""Class numbers as vectors of zeros with a one in the place of the class.

    Arguments:
        classes: How many classes there are.

    Raises:
        RequestError: If `classes` is less than 1, or in `forward` if there is no such class.

    Example:
        >>> OneHot(3)(torch.tensor([2, 0]))
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """

    numbers: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        if classes < 1:
            raise RequestError(f"classes is {classes}; expected at least 1 class: pass data that have labels")
        self.register_buffer("numbers", torch.arange(classes), persistent=False)

    @property
    def size(self) -> int:
        """Size of a vector, the number of classes."""
        return len(self.numbers)

    def forward(self, context: Tensor) -> Tensor:
        """Map class numbers, shape `(n,)`, to vectors, shape `(n, classes)`."""
        # A compiled step gets its labels from the data, which are checked; looking at them would break it in two.
        if not torch.compiler.is_compiling() and len(context):
            if context.ndim != 1:
                raise RequestError(
                    f"the context has shape {tuple(context.shape)}; expected class numbers of shape (n,): "
                    "pass torch.tensor([3, 1, 4]), say"
                )
            low, high = int(context.min()), int(context.max())
            if low < 0 or high >= self.size:
                raise RequestError(
                    f"the context has classes from {low} to {high}; expected 0 to {self.size - 1}, as in training: "
                    "pass other class numbers"
                )
        return (context.unsqueeze(1) == self.numbers).float()
