r"""Encoder and decoder as ONNX graphs, each compared with PyTorch before anyone is told that it is there."""

__all__ = ["Exported", "onnx"]

import copy
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from vaekit.errors import RequestError
from vaekit.export.agreement import TOLERANCE, check, trials
from vaekit.export.halves import halve
from vaekit.latent import vector_prior
from vaekit.models import VAE
from vaekit.networks import OneHot
from vaekit.storage import replace_file

_OPSET = 20
Parts = Literal["both", "encoder", "decoder"]


@dataclass(frozen=True)
class Exported:
    r"""What was written, and by how much it differs from PyTorch.

    Arguments:
        files: The files, by part: "encoder", "decoder".
        differences: The largest difference of each output, by its name: "mean" and "stddev" of q(z|x), "x", the mean
            of p(x|z). Absolute, and where an output is larger than 1, in parts of its largest value.
        latent_dim: Size of z.
        shape: Shape of one x.
    """

    files: dict[str, Path]
    differences: dict[str, float]
    latent_dim: int
    shape: tuple[int, ...]


class _Encoder(nn.Module):
    """x and context to the mean of q(z|x, c), and its standard deviation where that is asked for."""

    def __init__(self, model: VAE, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.outputs = outputs

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, ...]:
        q = self.model.encode(x, context)
        return tuple(cast(Tensor, getattr(q, name)) for name in self.outputs)


class _Decoder(nn.Module):
    """z and context to the mean of p(x|z, c)."""

    outputs = ("x",)

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, ...]:
        return (self.model.decode(z, context).mean,)


def onnx(
    model: VAE,
    folder: str | os.PathLike[str],
    *,
    parts: Parts = "both",
    examples: Tensor | None = None,
    context: Tensor | None = None,
    metadata: Mapping[str, str] | None = None,
    half: bool = False,
    seed: int = 0,
) -> Exported:
    r"""Write a model's encoder and decoder as ONNX files.

    `encoder.onnx` goes from x to the mean and the standard deviation of q(z|x), `decoder.onnx` from z to the mean of
    p(x|z).

    The first axis of every input is the batch, of any size. A conditional model has a second input, `context`: class
    numbers (int64, shape `(n,)`), or what else it was trained with. The standard deviation is left out where the
    posterior has none. Of a flow the "mean" is what `mean` is in PyTorch, the base's centre pushed through the flow.

    Each graph is run by onnxruntime, on draws of the prior, on noise and on the examples, in batches of several sizes,
    and has to give what PyTorch gives; else nothing is written.

    Arguments:
        model: Trained. It is not changed, and may be on any device.
        folder: Where the files are to be.
        parts: Which of the two.
        examples: Data as the model sees them, shape `(n, *shape)`, to compare on besides noise.
        context: What a conditional model is told of the examples; needed where that is not a class.
        metadata: What to say in the files, such as the recipe.
        half: Keep the weights in half precision, in files of half the size. The computation stays in single precision.
        seed: Of the draws to compare on.

    Raises:
        RequestError: If ONNX's packages are missing, z is no vector of real numbers, a mean has no closed form, x is
            written symbol by symbol, a part uses what ONNX cannot say, or a graph does not give what PyTorch gives:
            1e-4 or more apart, with `half` 1e-2.

    Example:
        >>> import tempfile
        >>> from vaekit.distributions import Bernoulli, Conditional, DiagonalGaussian, StandardNormal
        >>> from vaekit.networks import MLP
        >>> posterior, likelihood = DiagonalGaussian(2), Bernoulli((6,))
        >>> encoder = Conditional(MLP((6,), posterior.parameter_shape, (8,)), posterior)
        >>> decoder = Conditional(MLP((2,), likelihood.parameter_shape, (8,)), likelihood)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     exported = onnx(VAE(encoder, decoder, StandardNormal(2)), folder, parts="decoder")
        >>> exported.latent_dim, exported.shape, exported.differences["x"] < 1e-4
        (2, (6,), True)
    """
    _require_packages()
    model = copy.deepcopy(model).cpu().eval()
    given = _trial_contexts(model, context, examples)
    with torch.no_grad():
        latent_dim = vector_prior(model, given).event_shape[0]
        p = model.decode(torch.zeros(2, latent_dim), given)
        if not getattr(p, "has_mean", True):
            raise RequestError(
                "the decoder writes symbols one after the other, each given those before, and an exported graph has no "
                "loop for that: explore the run with `vaekit explore`, or write files with `vaekit sample`"
            )
        shape = tuple(_mean(p, "p(x|z)").shape[1:])
        graphs: dict[str, _Encoder | _Decoder] = {}
        if parts != "decoder":
            graphs["encoder"] = _Encoder(model, _moments(model, torch.zeros(2, *shape), given))
        if parts != "encoder":
            graphs["decoder"] = _Decoder(model)
    described = {"latent_dim": str(latent_dim), "shape": ",".join(map(str, shape)), **(metadata or {})}
    contents: dict[str, bytes] = {}
    differences: dict[str, float] = {}
    for part, graph in graphs.items():
        like = torch.zeros(2, *shape) if part == "encoder" else torch.zeros(2, latent_dim)
        proto = _proto(part, graph, like, given, {"part": part, **described})
        contents[part] = (halve(proto) if half else proto).SerializeToString()
        tried = trials(model, part, latent_dim, shape, given, examples, context, seed)
        differences |= check(part, contents[part], graph, tried, TOLERANCE[half])
    files = {}
    for part, content in contents.items():
        path = Path(folder) / f"{part}.onnx"
        files[part] = replace_file(path, lambda temporary, content=content: temporary.write_bytes(content))  # type: ignore[misc]
    return Exported(files, differences, latent_dim, shape)


def _require_packages() -> None:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter is built on it
    except ImportError as error:
        raise RequestError(
            f'{error.name} is not installed, which the export needs: pip install "vaekit[export]"'
        ) from None
    del onnx, onnxruntime


def _trial_contexts(model: VAE, context: Tensor | None, examples: Tensor | None) -> Tensor | None:
    """Two contexts to trace with."""
    if not model.conditional:
        return None
    if context is not None:
        if examples is not None and len(context) != len(examples):
            raise RequestError(
                f"there are {len(context)} contexts for {len(examples)} examples: pass one context for each"
            )
        return context[:2].cpu() if len(context) > 1 else context[:1].cpu().repeat_interleave(2, 0)
    if isinstance(model.context_network, OneHot):
        return torch.zeros(2, dtype=torch.long)
    raise RequestError(
        "the model is conditional on more than a class, and its contexts are not known: pass context=, one row for "
        "each of examples="
    )


def _mean(distribution: Any, of_what: str) -> Tensor:
    try:
        return cast(Tensor, distribution.mean)
    except (NotImplementedError, AttributeError) as error:
        reason = f" ({error})" if str(error) else ""
        raise RequestError(
            f"{of_what} is a {type(distribution).__name__}, whose mean has no closed form{reason}: there is nothing to "
            f"export; {'pass --parts decoder' if 'q' in of_what else 'pass --parts encoder'}, or train another"
        ) from None


def _moments(model: VAE, x: Tensor, context: Tensor | None) -> tuple[str, ...]:
    q = model.encode(x, context)
    _mean(q, "q(z|x)")
    try:
        return ("mean", "stddev") if bool((q.stddev >= 0).all()) else ("mean",)
    except (NotImplementedError, AttributeError):
        return ("mean",)


def _proto(part: str, graph: _Encoder | _Decoder, like: Tensor, context: Tensor | None, said: Mapping[str, str]) -> Any:
    """The graph as ONNX, without what the exporter notes of the machine it ran on."""
    import onnx

    name = "x" if part == "encoder" else "z"
    inputs = {name: like} | ({} if context is None else {"context": context})
    batch = torch.export.Dim("n")
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                graph,
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=list(graph.outputs),
                opset_version=_OPSET,
                dynamo=True,
                dynamic_shapes={key: {0: batch} for key in inputs},
                verbose=False,
            )
    except Exception as error:
        why = str(error.__cause__ or error).strip().splitlines()
        raise RequestError(
            f"the {part} cannot be exported ({why[0] if why else type(error).__name__}): it uses something that ONNX "
            f"has no word for, or whose shape depends on its values; export the other part with --parts "
            f"{'decoder' if part == 'encoder' else 'encoder'}, or train with another network or posterior"
        ) from error
    assert program is not None
    proto = program.model_proto
    for node in proto.graph.node:  # where each came from in the Python code: paths on this machine
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    del proto.metadata_props[:], proto.graph.metadata_props[:]
    onnx.helper.set_model_props(proto, dict(said))
    return proto


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's own log, of packages that are not needed and of steps, is not for our users."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
