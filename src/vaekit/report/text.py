r"""What the page says: the result in a sentence, numbers with their errors, how to read each figure."""

__all__ = ["FIGURES", "Figure", "reading", "protocol", "noun", "with_error", "count", "duration", "cell"]

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

MINUS = "−"


class Figure(NamedTuple):
    r"""A figure's heading, its text for those who do not see it, and how to read it."""

    heading: str
    alternative: str
    caption: str


FIGURES = {  # by the start of the figure's name, in the order of the page
    "loss": Figure(
        "Learning curves",
        "Curves of the negative ELBO, the rate and the distortion over {epochs} epochs, for training and validation.",
        "Lower is better at the left. The negative ELBO is the sum of the two curves at the right: the rate, "
        "the nats it costs to say which code z was chosen, and the distortion, the nats it then still costs to say "
        "x. Where validation turns up while training falls, the model overfits. The dashed line is the epoch that "
        "was kept.",
    ),
    "reconstruct": Figure(
        "Originals and reconstructions",
        "Pairs of examples from the data and what the model makes of them after encoding and decoding.",
        "Each example is encoded to the mean of q(z|x) and decoded again; originals are above, those of poses and "
        "melodies behind in grey. What is lost is what the code does not hold; blur means that the decoder averages "
        "over what it cannot know.",
    ),
    "beside": Figure(
        "Beside another model",
        "The same examples as two models make them after encoding and decoding, below the originals.",
        "Both models encoded and decoded the same test examples. One that is sharper need not be nearer: compare the "
        "numbers too.",
    ),
    "sample": Figure(
        "Samples",
        "Examples that the model made from random codes.",
        "Codes drawn from the prior p(z) and decoded. When these look worse than the reconstructions, the prior "
        "puts mass where the encoder never puts codes.",
    ),
    "canvas": Figure(
        "The canvas",
        "Samples as they come to be, a row each, with a box where each step was drawn.",
        "Each step draws a latent of its own from the prior and adds to the canvas, through the window that the box "
        "shows: it goes from filter to filter, and its line is as thick as a filter is wide.",
    ),
    "latent": Figure(
        "Latent space",
        "Scatter plot of the codes of the data in two dimensions of the latent space.",
        "Each dot is the mean of q(z|x) for one example; of more than two dimensions, the two principal axes are "
        "shown. The circles hold 39, 86 and 99 % of a standard normal prior; draws of another prior in the plane are "
        "grey, beneath the dots. Codes where the prior is thin are hardly ever sampled, and holes where it is not are "
        "sampled but never trained.",
    ),
    "manifold": Figure(
        "The decoded plane",
        "Grid of decoded pictures, one for each pair of quantiles of the two latent units.",
        "The decoder's mean on a grid of prior quantiles, so that equal areas hold equal prior probability. "
        "Neighbours should change smoothly into one another.",
    ),
    "unit": Figure(
        "Rate of each latent unit",
        "Bar chart of the KL divergence of each latent unit, largest first, with active units coloured.",
        "How many nats each unit carries about x. A unit at zero ignores x: it costs nothing and says nothing. "
        "Many inactive units mean that the latent space is larger than the model has use for.",
    ),
    "bound": Figure(
        "The bound against the number of samples",
        "Curve of the importance-weighted bound on the log-likelihood, rising with the number of samples.",
        "With more importance samples k, the bound rises towards log p(x). At k = 1 it is the ELBO. Where it has "
        "become flat, little is left of the gap; where it still rises, the true likelihood is higher than reported.",
    ),
}


def reading(test: Mapping[str, Any]) -> str:
    r"""Return the result in one plain sentence, or the empty string if there is none.

    Example:
        >>> reading({"nll": 88.9})
        'On the test set the model assigns on average −88.90 nats of log-probability to each example; higher is better.'
    """
    if "nll" not in test and "elbo" not in test:
        return ""
    one, many = noun(test)
    n = next((test[key] for key in (many, "examples", "n") if key in test), None)
    where = f"On {count(n)} test {many if n != 1 else one}" if n is not None else "On the test set"
    if "nll" in test:
        value = with_error(-test["nll"], test.get("nll_se"))
        k = f", estimated with k = {count(test['nll_samples'])} importance samples" if "nll_samples" in test else ""
        return (
            f"{where} the model assigns on average {value} nats of log-probability to each {one}{k}; higher is better."
        )
    value = with_error(test["elbo"], test.get("elbo_se"))
    return (
        f"{where} the model assigns on average at least {value} nats of log-probability to each {one} "
        "(the evidence lower bound); higher is better."
    )


def protocol(test: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    r"""Return the line that has to stand under the numbers before anyone compares them.

    Example:
        >>> protocol({"protocol": "dynamic binarisation", "nll_samples": 500}, {"steps": 20000, "device": "cpu"})
        'dynamic binarisation · k = 500 · 20,000 steps · cpu'
    """
    parts = [str(test.get("protocol", ""))]
    k = f"k = {count(test['nll_samples'])}" if "nll_samples" in test else ""
    parts += [k] if k not in parts[0] else []
    parts += ["± is one standard error of the mean"] if {"elbo_se", "nll_se"} & test.keys() else []
    parts += [f"{count(training['steps'])} steps"] if "steps" in training else []
    parts += [str(training.get("device", ""))]
    return " · ".join(part for part in parts if part)


def noun(test: Mapping[str, Any]) -> tuple[str, str]:
    r"""Return what an example is called, one and many."""
    return ("image", "images") if "images" in test else ("example", "examples")


def with_error(value: float, error: float | None = None) -> str:
    r"""Return a number to two digits of its standard error, or two decimals without one.

    Example:
        >>> with_error(-103.2412, 0.0123), with_error(88.9, 1.7), with_error(25.0)
        ('−103.241 ± 0.012', '88.9 ± 1.7', '25.00')
    """
    places = 2
    if error:
        places = min(6, max(1, 1 - math.floor(math.log10(abs(error)))))
    shown = f"{value:,.{places}f}" + (f" ± {error:.{places}f}" if error is not None else "")
    return shown.replace("-", MINUS)


def count(value: float) -> str:
    r"""Return a count with its thousands apart; counts below ten keep a decimal if they have one.

    Example:
        >>> count(21034.7), count(500), count(3.25)
        ('21,035', '500', '3.2')
    """
    return f"{value:,.1f}" if abs(value) < 10 and value != int(value) else f"{value:,.0f}"


def duration(seconds: float) -> str:
    r"""Return a time in its two largest units.

    Example:
        >>> duration(7.25), duration(192), duration(7385)
        ('7.2 s', '3 min 12 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def cell(value: Any) -> str:
    r"""Return a table's number in six digits; the empty string for what is missing.

    Example:
        >>> cell(-103.24123), cell(3.0), cell("12"), cell(float("nan"))
        ('−103.241', '3', '12', '')
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return "" if value is None else str(value)
    return f"{number:.6g}".replace("-", MINUS) if math.isfinite(number) else ""
