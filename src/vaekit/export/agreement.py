r"""Whether an exported graph gives what PyTorch gives, on draws, noise and examples, whatever the batch."""

__all__ = ["TOLERANCE", "check", "trials"]

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vaekit.errors import RequestError
from vaekit.models.base import seeded
from vaekit.networks import OneHot

if TYPE_CHECKING:
    from vaekit.models import VAE

TOLERANCE = {False: 1e-4, True: 1e-2}  # single precision; and of weights in half, with their three digits
_BATCHES = (1, 3, 32)  # one, since a batch of one is where axes get lost; and others than the two that are traced

Trial = tuple[Tensor, Tensor | None]


@torch.no_grad()
def trials(
    model: "VAE",
    part: str,
    latent_dim: int,
    shape: tuple[int, ...],
    given: Tensor | None,
    examples: Tensor | None,
    context: Tensor | None,
    seed: int,
) -> list[Trial]:
    r"""Return inputs to try a part on, each with the contexts of a conditional model: noise, draws, and examples.

    Noise is from 0 to 1, and in vectors, whose entries may be in any units, from the least to the most of the examples.

    Arguments:
        model: The model, on the CPU.
        part: "encoder" or "decoder".
        latent_dim: Size of z.
        shape: Shape of one x.
        given: Two contexts, where the model is conditional.
        examples: Data as the model sees them, where there are any.
        context: The contexts of the examples.
        seed: Of the draws.
    """
    tried: list[Trial] = []
    ends = torch.zeros(shape), torch.ones(shape)
    if examples is not None and len(examples) and len(shape) == 1:  # entries may have units of their own
        ends = examples.cpu().amin(0), examples.cpu().amax(0)
    with seeded(seed):
        for n in _BATCHES:
            told = _contexts(model, n, given)
            if part == "encoder":
                tried.append((torch.lerp(*ends, torch.rand(n, *shape)), told))
                continue
            tried.append((torch.randn(n, latent_dim), told))
            prior = model.latent(told)
            tried.append((prior.sample((n,) if not prior.batch_shape else ()), told))
        if examples is not None and len(examples):
            told = _contexts(model, len(examples), given) if context is None else context.cpu()
            x = examples.cpu()
            tried.append((x if part == "encoder" else model.encode(x, told).mean, told))
    return tried


def _contexts(model: "VAE", n: int, given: Tensor | None) -> Tensor | None:
    if given is None:
        return None
    if isinstance(model.context_network, OneHot):
        return torch.randint(model.context_network.size, (n,))
    return given[torch.arange(n) % len(given)]


@torch.no_grad()
def check(part: str, content: bytes, graph: nn.Module, tried: Sequence[Trial], tolerance: float) -> dict[str, float]:
    r"""Return the largest difference between onnxruntime and PyTorch of each output of a graph, by its name.

    .. math::
        \max_i \frac{|a_i - b_i|}{\max(1, \max_j |b_j|)}

    Arguments:
        part: Its name, for the message.
        content: The ONNX model.
        graph: The module that it was made of.
        tried: Inputs with their contexts.
        tolerance: The largest difference that passes.

    Raises:
        RequestError: If the graph cannot be run, an output is not a number, or a difference is too large.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    names: tuple[str, ...] = graph.outputs  # type: ignore[assignment]
    worst = dict.fromkeys(names, 0.0)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        fed = [entry.name for entry in session.get_inputs()]
        for inputs in tried:
            given = [value for value in inputs if value is not None]
            outputs = session.run(list(names), {name: value.numpy() for name, value in zip(fed, given, strict=True)})
            for name, output, expected in zip(names, outputs, graph(*given), strict=True):
                if output.shape != tuple(expected.shape):
                    raise RequestError(f"{name} has shape {output.shape} instead of {tuple(expected.shape)}")
                apart = float((torch.from_numpy(output) - expected).abs().max() / expected.abs().max().clamp_min(1))
                worst[name] = max(worst[name], apart) if apart == apart else float("nan")
    except Exception as error:  # onnxruntime's own have no common parent
        reason = str(error).strip().splitlines()[0]
        raise RequestError(
            f"the exported {part} cannot be run by onnxruntime {onnxruntime.__version__} ({reason}): nothing was "
            "written; try another version of onnxruntime or torch"
        ) from error
    for name, apart in worst.items():
        if not apart < tolerance:
            raise RequestError(
                f"the {name} of the exported {part} differs from PyTorch's by {apart:.2g}; expected less than "
                f"{tolerance:g}: nothing was written; {'leave out --half' if tolerance > 1e-4 else 'report this model'}"
            )
    return worst
