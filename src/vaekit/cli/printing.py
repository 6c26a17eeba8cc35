r"""What commands print: tables for people."""

__all__ = ["print_metrics", "print_table"]

from collections.abc import Iterable
from typing import Any


def print_table(header: tuple[str, str], rows: Iterable[tuple[str, str]]) -> None:
    r"""Print names and what they are, in two columns.

    Example:
        >>> print_table(("data", "what it is"), [("mnist", "handwritten digits")])
        data   what it is
        mnist  handwritten digits
    """
    rows = list(rows)
    width = max(len(name) for name, _ in [header, *rows]) + 2
    for name, line in [header, *rows]:
        print(f"{name:<{width}}{line}")


def print_metrics(metrics: dict[str, Any]) -> None:
    r"""Print what was measured, split by split, and how the training went if that is there."""
    from rich.console import Console
    from rich.table import Table

    for split, numbers in metrics.items():
        if split == "training":
            continue
        table = Table(title=f"{split}: {numbers['images']:,} examples", title_justify="left")
        table.add_column("")
        table.add_column("nats", justify="right")
        table.add_column("±", justify="right")
        names = {"elbo": "ELBO", "rate": "rate, KL(q‖p)", "distortion": "distortion, −E log p(x|z)"}
        names["nll"] = f"NLL, {numbers.get('nll_samples', 0):,} importance samples"
        for key, label in names.items():
            if key in numbers:
                table.add_row(label, *("–" if v is None else f"{v:.2f}" for v in (numbers[key], numbers[f"{key}_se"])))
        Console().print(table)
        print(f"active units: {numbers['active_units']} of {numbers['latent_dim']}")
        print(f"protocol: {numbers['protocol']}")
    if "training" in metrics:
        facts = metrics["training"]
        compiled = "compiled" if facts["compiled"] else "not compiled: too short to pay for it"
        print(
            f"training: {facts['epochs']} epochs in {facts['elapsed_seconds']:.0f} s, "
            f"{facts['images_per_second']:,.0f} images/s ({compiled}), best epoch {facts['best_epoch']}"
        )
