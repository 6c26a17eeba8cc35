import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vaekit.distributions import Bernoulli, Conditional, DiagonalGaussian, Gaussian, Point, StandardNormal
from vaekit.distributions.flows import FlowPosterior
from vaekit.errors import RequestError
from vaekit.export import onnx
from vaekit.export.agreement import check
from vaekit.export.graphs import Exported
from vaekit.export.halves import halve
from vaekit.models import VAE
from vaekit.networks import MLP, OneHot
from vaekit.plan import DataSpec
from vaekit.recipes import get

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

SPEC = DataSpec("toy", (1, 8, 8), 256, "gaussian", classes=3)


def run(path: Path | bytes, **inputs: Tensor) -> list[np.ndarray[Any, Any]]:
    session = onnxruntime.InferenceSession(path if isinstance(path, bytes) else str(path))
    outputs: list[np.ndarray[Any, Any]] = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return outputs


def agree(exported: Exported, model: VAE, n: int, context: Tensor | None = None, stddev: bool = True) -> None:
    """Both files give what PyTorch gives, on inputs that the export did not see."""
    generator = torch.Generator().manual_seed(n)
    z = 2 * torch.randn(n, exported.latent_dim, generator=generator)
    x = torch.rand(n, *exported.shape, generator=generator)
    told = {} if context is None else {"context": context}
    with torch.no_grad():
        (mean,) = run(exported.files["decoder"], z=z, **told)
        np.testing.assert_allclose(mean, model.decode(z, context).mean.numpy(), atol=1e-5)
        outputs = run(exported.files["encoder"], x=x, **told)
        q = model.encode(x, context)
        assert len(outputs) == 1 + stddev
        np.testing.assert_allclose(outputs[0], q.mean.numpy(), atol=1e-5)
        if stddev:
            np.testing.assert_allclose(outputs[1], q.stddev.numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def conditional() -> VAE:
    """Convolutions, told a class, with a variance that the decoder gives for each pixel."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plan = get("cvae")(
            SPEC, network="conv", likelihood="gaussian-pixel", hidden=(8,), channels=(8, 8), latent_dim=3
        )
    model = plan.model
    assert isinstance(model, VAE)
    return model


@pytest.fixture(scope="module")
def exported(conditional: VAE, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    conditional.train()
    before, state = copy.deepcopy(conditional.state_dict()), torch.random.get_rng_state()
    done = onnx(conditional, tmp_path_factory.mktemp("onnx"), metadata={"recipe": "cvae"})
    # The export leaves everything as it was.
    assert conditional.training
    assert all(torch.equal(value, before[name]) for name, value in conditional.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    conditional.eval()
    return done


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_conditional_convolutional_model_gives_the_same_in_batches_of_any_size(
    exported: Exported, conditional: VAE, n: int
) -> None:
    assert exported.shape == (1, 8, 8)
    assert exported.latent_dim == 3
    assert set(exported.differences) == {"mean", "stddev", "x"}
    assert 0 < max(exported.differences.values()) < 1e-4
    agree(exported, conditional, n, torch.arange(n) % 3)


def test_the_context_matters(exported: Exported) -> None:
    pictures = [run(exported.files["decoder"], z=torch.zeros(1, 3), context=torch.tensor([c]))[0] for c in (0, 1)]
    assert np.abs(pictures[0] - pictures[1]).max() > 1e-4


def test_the_files_say_what_they_are_and_nothing_of_the_machine(exported: Exported) -> None:
    import onnx as library

    for part, path in exported.files.items():
        model = library.load(path)
        said = {entry.key: entry.value for entry in model.metadata_props}
        assert said == {"part": part, "recipe": "cvae", "latent_dim": "3", "shape": "1,8,8"}
        content = path.read_bytes()
        for mark in (
            b".py",
            b"site-packages",
            str(Path.home()).encode() + b"/",
            str(Path(__file__).parents[2]).encode(),
        ):
            assert mark not in content


def test_half_precision_halves_the_weights_and_keeps_the_digits_it_has(exported: Exported, conditional: VAE) -> None:
    import onnx as library

    path = exported.files["decoder"]
    content = halve(library.load(path)).SerializeToString()
    large = [p.numel() for p in conditional.decoder.parameters() if p.numel() >= 256]
    assert len(large) >= 2
    saved = path.stat().st_size - len(content)
    assert 2 * sum(large) - 200 * len(large) < saved <= 2 * sum(large)  # a cast for each takes some bytes
    z, context = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1])
    (halved,), (whole,) = (run(c, z=z, context=context) for c in (content, path.read_bytes()))
    assert halved.dtype == np.float32
    assert 0 < np.abs(halved - whole).max() < 1e-2
    # What half precision cannot hold stays as it is.
    model = library.load(path)
    from onnx import numpy_helper

    weight = next(w for w in model.graph.initializer if np.prod(w.dims) >= 256 and w.data_type == 1)
    name = weight.name
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(1e5), name))
    assert name in {w.name for w in halve(model).graph.initializer}


def test_a_graph_that_gives_something_else_is_refused(exported: Exported, conditional: VAE) -> None:
    from vaekit.export.graphs import _Decoder

    other = copy.deepcopy(conditional)
    with torch.no_grad():
        next(p for p in other.decoder.parameters() if p.ndim == 1).add_(1.0)
    tried = [(torch.zeros(2, 3), torch.tensor([0, 1]))]
    content = exported.files["decoder"].read_bytes()
    assert check("decoder", content, _Decoder(conditional), tried, 1e-4)["x"] < 1e-5
    with pytest.raises(RequestError, match=r"x of the exported decoder differs .* expected less than 0.0001"):
        check("decoder", content, _Decoder(other), tried, 1e-4)
    with torch.no_grad():
        next(p for p in other.decoder.parameters() if p.ndim == 1).fill_(torch.nan)
    with pytest.raises(RequestError, match="differs from PyTorch's by nan"):
        check("decoder", content, _Decoder(other), tried, 1e-4)
    with pytest.raises(RequestError, match="cannot be run by onnxruntime"):
        check("decoder", content[:100], _Decoder(conditional), tried, 1e-4)


class _Meanless(nn.Module):
    """A posterior or likelihood of which only draws are known."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, given: Tensor, context: Tensor | None = None) -> Any:
        known = self.inner(given)

        class Unknown(type(known)):  # type: ignore[misc]
            @property
            def mean(self) -> Tensor:
                raise NotImplementedError("an integral without a closed form")

        known.__class__ = Unknown
        return known


def plain(size: int = 6, posterior: type[DiagonalGaussian] | type[Point] = DiagonalGaussian) -> VAE:
    q, p = posterior(2), Bernoulli((size,))
    encoder = Conditional(MLP((size,), q.parameter_shape, (8,)), q)
    return VAE(encoder, Conditional(MLP((2,), p.parameter_shape, (8,)), p), StandardNormal(2))


def test_a_mean_without_a_closed_form_is_said_to_be_that(tmp_path: Path) -> None:
    model = plain()
    model.encoder = _Meanless(model.encoder)
    with pytest.raises(RequestError, match=r"q\(z\|x\) is .* no closed form \(an integral .* --parts decoder"):
        onnx(model, tmp_path)
    model = plain()
    model.decoder = _Meanless(model.decoder)
    with pytest.raises(RequestError, match=r"p\(x\|z\) is .* no closed form"):
        onnx(model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_packages_that_are_missing_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(RequestError, match=r'onnxscript is not installed.*pip install "vaekit\[export\]"'):
        onnx(plain(), tmp_path)


def test_contexts_that_are_no_classes_have_to_be_given(tmp_path: Path) -> None:
    q, p = DiagonalGaussian(2), Bernoulli((6,))
    encoder = Conditional(MLP((6,), q.parameter_shape, context_dim=3), q)
    decoder = Conditional(MLP((2,), p.parameter_shape, context_dim=3), p)
    model = VAE(encoder, decoder, StandardNormal(2), context=nn.Identity())
    with pytest.raises(RequestError, match="pass context="):
        onnx(model, tmp_path)
    with pytest.raises(RequestError, match="4 contexts for 5 examples"):
        onnx(model, tmp_path, examples=torch.zeros(5, 6), context=torch.zeros(4, 3))


# What follows traces more models, some seconds each.


@pytest.mark.slow
def test_contexts_that_are_vectors_are_an_input(tmp_path: Path) -> None:
    q, p = DiagonalGaussian(2), Gaussian((6,))
    encoder = Conditional(MLP((6,), q.parameter_shape, context_dim=3), q)
    decoder = Conditional(MLP((2,), p.parameter_shape, context_dim=3), p)
    model = VAE(encoder, decoder, StandardNormal(2), context=nn.Identity())
    exported = onnx(model, tmp_path, examples=torch.rand(5, 6), context=torch.rand(5, 3))
    agree(exported, model, 4, torch.rand(4, 3))


@pytest.mark.slow
def test_a_point_has_a_deviation_of_zero_and_one_part_can_be_had_alone(tmp_path: Path) -> None:
    model = plain(posterior=Point)
    exported = onnx(model, tmp_path / "both")
    agree(exported, model, 3)
    assert set(onnx(model, tmp_path / "one", parts="encoder").files) == {"encoder"}
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["encoder.onnx"]
    half = onnx(plain(size=200), tmp_path / "half", half=True)
    assert 1e-6 < max(half.differences.values()) < 1e-2


@pytest.mark.slow
def test_a_network_that_looks_at_its_values_is_refused(tmp_path: Path) -> None:
    class Looks(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return torch.zeros(len(z), 6) if float(z.sum()) > 0 else torch.ones(len(z), 6)

    model = plain()
    model.decoder = Conditional(Looks(), Bernoulli((6,)))
    with pytest.raises(RequestError, match=r"the decoder cannot be exported .* --parts encoder"):
        onnx(model, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "arguments", "stddev"),
    [
        ("vae", {"network": "resnet", "hidden": (8,), "channels": (4, 4)}, True),
        ("vae", {"likelihood": "continuous-bernoulli", "hidden": (8,)}, True),
        ("vae", {"posterior": "full-gaussian", "hidden": (8,), "latent_dim": 3}, True),
        ("vae", {"posterior": "student-t", "hidden": (8,)}, True),
        ("vamp-prior", {"hidden": (8,)}, True),
        ("hierarchical", {"latent_dims": (3, 2), "hidden": (8,)}, False),
        ("cvae", {"prior": "conditional", "hidden": (8,)}, True),
    ],
)
def test_every_kind_of_model_gives_the_same(
    recipe: str, arguments: dict[str, Any], stddev: bool, tmp_path: Path
) -> None:
    model = get(recipe)(SPEC, **arguments).model.eval()
    exported = onnx(model, tmp_path)
    n = 5
    agree(exported, model, n, torch.arange(n) % 3 if isinstance(model.context_network, OneHot) else None, stddev)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["iaf", "planar", "spline", "coupling"])
def test_a_flow_gives_the_image_of_its_centre(kind: str, tmp_path: Path) -> None:
    posterior, likelihood = FlowPosterior(3, kind, transforms=2, hidden=(8,), context_features=4), Bernoulli((6,))
    encoder = Conditional(MLP((6,), posterior.parameter_shape, (8,)), posterior)
    decoder = Conditional(MLP((3,), likelihood.parameter_shape, (8,)), likelihood)
    model = VAE(encoder, decoder, StandardNormal(3))
    exported = onnx(model, tmp_path, parts="encoder")
    assert set(exported.differences) == {"mean"}
    x = torch.rand(5, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.encode(x).mean.numpy()
    np.testing.assert_allclose(run(exported.files["encoder"], x=x)[0], expected, atol=1e-5)


def test_what_is_written_symbol_by_symbol_is_refused(tmp_path: Path) -> None:
    spec = DataSpec("melodies", (32,), 90, "categorical")
    model = get("music-vae-2bar")(spec, hidden=4, decoder_hidden=4, latent_dim=2).model
    with pytest.raises(RequestError, match=r"one after the other.*`vaekit explore`"):
        onnx(model, tmp_path)
    assert not list(tmp_path.iterdir())
