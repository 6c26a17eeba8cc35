r"""Training: the loop, its checkpoints, its log, its progress bar."""

from vaekit.training.loop import Diverged, Interrupted, Outcome, fit

__all__ = ["Diverged", "Interrupted", "Outcome", "fit"]
