r"""The look that all figures share, on for as long as one is drawn."""

__all__ = ["COLOURS", "INK", "SOFT", "FAINT", "MAIN", "ACCENT", "DPI", "styled"]

import functools
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import matplotlib.style

P = ParamSpec("P")
R = TypeVar("R")

# Ten classes that stay apart under colour-vision deficiencies ("Accessible Color Sequences for Data
# Visualization", Petroff, 2021).
COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
INK, SOFT, FAINT, MAIN, ACCENT = "#2b2f36", "#6b7280", "#d5d9e0", "#1f6fb8", "#d1591b"
DPI = 120
_STYLE: dict[str, Any] = {
    "figure.dpi": DPI, "savefig.dpi": DPI, "figure.facecolor": "white", "savefig.facecolor": "white",
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: same everywhere
    "text.parse_math": False,  # a class may be called "$"
    "font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.labelsize": 9,
    "axes.titlesize": 10, "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlecolor": INK,
    "axes.titlepad": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": FAINT,
    "axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True, "grid.color": "#eceef2",
    "grid.linewidth": 0.8, "xtick.color": FAINT, "ytick.color": FAINT, "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT, "xtick.labelsize": 8, "ytick.labelsize": 8, "ytick.major.size": 0,
    "lines.linewidth": 1.8, "lines.solid_capstyle": "round", "legend.fontsize": 8.5,
    "legend.framealpha": 1.0, "legend.edgecolor": "white", "legend.fancybox": False,
    "figure.constrained_layout.w_pad": 0.09, "figure.constrained_layout.h_pad": 0.09,
}  # fmt: skip
_LOCK = threading.RLock()  # rcParams are global to the process, and runs may draw in several threads


def styled(function: Callable[P, R]) -> Callable[P, R]:
    r"""Run `function` under this module's style alone; the user's own settings come back afterwards."""

    @functools.wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        with _LOCK, matplotlib.style.context([_STYLE], after_reset=True):
            return function(*args, **kwargs)

    return styled
