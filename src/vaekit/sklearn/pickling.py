r"""What estimators share: a pickle that opens on a machine without the device it was made on."""

__all__ = ["HoldsModel"]

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import nn


class HoldsModel:
    r"""An estimator with a network in `model_`, which its pickle holds as arrays.

    It stands before `BaseEstimator` among the bases.
    """

    model_: Any

    @abstractmethod
    def _untrained(self) -> nn.Module:
        """Build a network like the one that was fitted, whatever `set_params` says since."""

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[call-overload]
        if "model_" in state:
            state["model_"] = {name: tensor.cpu().numpy() for name, tensor in self.model_.state_dict().items()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        if "model_" in state:
            model = self._untrained()
            model.load_state_dict({name: torch.tensor(np.asarray(array)) for name, array in state["model_"].items()})
            self.model_ = model.eval()
