r"""A static page: the explorer with its networks in the visitor's browser, in one folder that any host serves."""

__all__ = ["web"]

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vaekit import __version__
from vaekit.data.transforms import Dequantise, Identity
from vaekit.distributions import StandardNormal
from vaekit.errors import RequestError
from vaekit.export.folder import whole_folder
from vaekit.export.graphs import onnx
from vaekit.export.provenance import said_of, some_examples
from vaekit.export.runtime import runtime_files
from vaekit.models.base import seeded
from vaekit.networks import OneHot
from vaekit.storage import plain

if TYPE_CHECKING:
    from vaekit.explorer.subject import Subject
    from vaekit.runs import Run

_DRAWS = 1000  # of a prior that has no formula in the browser


def web(
    run: "Run",
    folder: str | os.PathLike[str],
    *,
    onnxruntime_web: str | os.PathLike[str] | None = None,
    points: int = 10_000,
    method: str = "auto",
    seed: int = 0,
    half: bool = False,
    force: bool = False,
) -> dict[str, float]:
    r"""Write a folder with the explorer's page, the model in ONNX, and what runs it in a browser.

    The page asks for nothing outside its folder, which works under any path of any host, without threads and the
    headers that these need. Samples of a standard normal prior are drawn in the browser; of another one the page
    has 1,000 draws. What is random in the model's view of an uploaded picture, binarisation or dequantisation, is
    replaced by its mean.

    Arguments:
        run: The run, trained.
        folder: Where the folder is to be.
        onnxruntime_web: The files of onnxruntime-web: its folder, or npm's archive of it. By default npm is asked.
        points: Test examples on the map.
        method: How codes are laid out on it.
        seed: Of the choice of these, and of draws of the prior.
        half: Keep the weights in half precision.
        force: Replace another export.

    Returns:
        By how much each output differs from PyTorch.

    Raises:
        RequestError: If onnxruntime-web is missing or damaged, the model cannot be shown or exported, or the folder
            not be written.
    """
    from vaekit.explorer.description import description_of
    from vaekit.explorer.subject import subject_of

    subject = subject_of(run)
    record = {"kind": "web", "vaekit": __version__, **said_of(run)}
    with whole_folder(folder, record, force=force) as (place, said):
        page = _page_files()
        files, version = runtime_files(onnxruntime_web)
        examples, context = some_examples(run)
        exported = onnx(
            subject.model, place, examples=examples, context=context, metadata=said_of(run), half=half, seed=seed
        )
        description = description_of(subject, points, seed, method)
        _write_json(place / "description.json", description)
        _write_json(place / "model.json", _model(subject, exported.latent_dim, seed))
        (place / "onnxruntime").mkdir()
        for name, content in files.items():
            (place / "onnxruntime" / name).write_bytes(content)
        (place / "onnxruntime" / "NOTICE.txt").write_text(
            f"onnxruntime-web {version}, https://www.npmjs.com/package/onnxruntime-web, by Microsoft Corporation, "
            "under the MIT License (https://github.com/microsoft/onnxruntime/blob/main/LICENSE). The files are "
            "unchanged but for their names.\n"
        )
        for name, content in page.items():
            (place / name).write_bytes(content)
        said |= {"differences": exported.differences, "onnxruntime-web": version, "half": half}
    return exported.differences


def _page_files() -> dict[str, bytes]:
    """The files of the page: the explorer's own, but for those that ask a server, and ours that start it."""
    package = Path(__file__).parent
    files = [*(package.parent / "explorer" / "page").glob("*.*"), *(package / "web").glob("*.*")]
    found = {
        file.name: file.read_bytes()
        for file in files  # ours come last, and take the place of those of the same name
        if file.suffix in (".html", ".js", ".css") and file.name != "notebook.js"
    }
    missing = {"explorer.js", "explorer.css", "index.html", "start.js", "onnx_backend.js"} - found.keys()
    if missing:
        raise RequestError(f"vaekit lacks its own files {', '.join(sorted(missing))}: install it again")
    return found


def _model(subject: "Subject", latent_dim: int, seed: int) -> dict[str, Any]:
    """What the networks are fed and give, for the page's backend."""
    view = subject.view
    return {
        "latent_dim": latent_dim,
        "shape": list(view.shape),
        "view": {name: view.describe()[name] for name in ("low", "high")},
        "input": _input(subject),
        "contexts": _contexts(subject),
        "prior": _prior(subject, seed),
    }


def _input(subject: "Subject") -> dict[str, Any]:
    """How a value v in [0, 1] becomes what the model sees, on average: first to the levels, then scale · v + shift."""
    view, levels = subject.view, subject.data.levels
    if isinstance(subject.transform, Dequantise) and levels is not None:
        return {"levels": levels, "scale": (levels - 1) / levels, "shift": 0.5 / levels}
    if levels is None or isinstance(subject.transform, Identity):
        largest = 1 if levels is None else levels - 1
        scale, shift = (largest * view.unit).tolist(), (largest * view.origin).tolist()
        return {"levels": levels, "scale": scale, "shift": shift}
    return {"levels": levels, "scale": 1.0, "shift": 0.0}


def _contexts(subject: "Subject") -> dict[str, Any] | None:
    if subject.contexts is None:
        return None
    if isinstance(subject.model.context_network, OneHot):
        return {"kind": "class"}
    rows = subject.contexts.float().numpy()
    return {"kind": "rows", "shape": list(rows.shape[1:]), "values": _packed(rows)}


@torch.no_grad()
def _prior(subject: "Subject", seed: int) -> dict[str, Any] | None:
    """Draws of the prior, for each context if it depends on that; None for a standard normal."""
    if isinstance(subject.model.prior, StandardNormal):
        return None
    contexts = range(1 if subject.contexts is None else len(subject.contexts))
    each = bool(subject.model.latent(subject.told(0, 1)).batch_shape)
    with seeded(seed):
        drawn = [
            prior.sample(() if prior.batch_shape else (_DRAWS,))
            for context in (contexts if each else contexts[:1])
            for prior in [subject.model.latent(subject.told(context, _DRAWS))]
        ]
    return {"rows": _DRAWS, "each_context": each, "draws": _packed(torch.cat(drawn).cpu().numpy())}


def _packed(array: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(plain(content), allow_nan=False, separators=(",", ":")))
