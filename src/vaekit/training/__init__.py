r"""Training: the loop, its checkpoints, its log, its progress bar."""

from vaekit.errors import Diverged, Interrupted
from vaekit.training.loop import Outcome, fit

__all__ = ["Diverged", "Interrupted", "Outcome", "fit"]
