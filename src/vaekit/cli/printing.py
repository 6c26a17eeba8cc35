r"""What commands print: tables for people."""

__all__ = ["print_metrics", "print_table"]

from collections.abc import Iterable, Sequence
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


_LIKELIHOOD = {
    "elbo": "ELBO",
    "rate": "rate, KL(q‖p)",
    "distortion": "distortion, −E log p(x|z)",
    "nll": "NLL, {} importance samples",
    "bits_per_dim": "bits per dimension",
}
_KEEP_CASE = {"mse": "MSE", "psnr": "PSNR", "ssim": "SSIM", "nll": "NLL", "ais": "AIS", "bdmc": "BDMC", "kl": "KL"}
_KEEP_CASE |= {"elbo": "ELBO", "mig": "MIG", "dci": "DCI", "sap": "SAP", "se": "±", "vae": "VAE", "beta": "β"}


def print_metrics(metrics: dict[str, Any]) -> None:
    r"""Print what was measured, split by split, and how the training went if that is there."""
    from rich.console import Console

    for split, numbers in metrics.items():
        if split in ("training", "stages"):
            continue
        console = Console()
        if "elbo" in numbers or "distortion" in numbers:
            k = f"{numbers.get('nll_samples') or 0:,}"
            rows = [
                (label.format(k), numbers[key], numbers.get(f"{key}_se"))
                for key, label in _LIKELIHOOD.items()
                if key in numbers
            ]
            console.print(_table(f"{split}: {numbers['images']:,} examples", "nats", rows))
            if "perplexity" in numbers:
                used, length = numbers["used_codes"], numbers["code_bits_per_dim"]
                print(
                    f"codes: perplexity {numbers['perplexity']:.1f} of {numbers['codes']}, {used:.0%} in use, "
                    f"{length:.3f} bits per dimension"
                )
            else:
                print(f"active units: {numbers['active_units']} of {numbers['latent_dim']}")
            print(f"protocol: {numbers['protocol']}")
        for name, family in numbers.items():
            if isinstance(family, dict) and "protocol" in family:
                console.print(_table(name.replace("_", " "), "", _numbers(family)))
                print(f"protocol: {family['protocol']}")
        for name, reason in (numbers.get("left_out") or {}).items():
            print(f"left out: {name}: {reason}")
        for warning in _warnings(numbers):
            print(f"warning: {warning}")
    if "training" in metrics:
        facts = metrics["training"]
        compiled = "compiled" if facts["compiled"] else "not compiled: too short to pay for it"
        print(
            f"training: {facts['epochs']} epochs in {facts['elapsed_seconds']:.0f} s, "
            f"{facts['images_per_second']:,.0f} images/s ({compiled}), best epoch {facts['best_epoch']}"
        )
    for name, numbers in metrics.get("stages", {}).items():
        print(f"{name}: " + ", ".join(f"{label} {_number(value)}" for label, value, *_ in _numbers(numbers)))


def _warnings(numbers: dict[str, Any]) -> list[str]:
    own = [part["warning"] for part in [numbers, *numbers.values()] if isinstance(part, dict) and "warning" in part]
    return list(dict.fromkeys([*(numbers.get("warnings") or []), *own]))


def _table(title: str, unit: str, rows: Iterable[Sequence[Any]]) -> Any:
    """A row is a label, a number and its error, and where there is one that of real data, and its error."""
    from rich.table import Table

    rows = list(rows)
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in (unit, "±", "real data", "±")[: max(map(len, rows), default=3) - 1]:
        table.add_column(name, justify="right")
    for label, *values in rows:
        table.add_row(label, *("–" if v is None else _number(v, 2 if unit else None) for v in values))
    return table


def _number(value: float, digits: int | None = None) -> str:
    if digits is None:
        digits = 2 if abs(value) >= 10 else 4 if abs(value) >= 0.01 or not value else 6
    return f"{value:,.{digits}f}"


def _numbers(family: dict[str, Any]) -> Iterable[Sequence[Any]]:
    """The numbers of a family that are no settings, with labels made of their names."""
    for key, value in family.items():
        if not isinstance(value, float) or key.endswith(("_se", "_real")) or key == "seconds":
            continue
        row = [" ".join(_KEEP_CASE.get(word, word) for word in key.split("_")), value, family.get(f"{key}_se")]
        if f"{key}_real" in family:
            row += [family[f"{key}_real"], family.get(f"{key}_real_se")]
        yield row
