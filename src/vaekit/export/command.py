r"""The command `export`: a trained run for programs and people that have no PyTorch."""

__all__ = ["export"]

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vaekit.errors import RequestError

if TYPE_CHECKING:
    from vaekit.runs import Run


def export(
    run: str,
    to: Literal["onnx", "web", "huggingface"] = "onnx",
    parts: Literal["both", "encoder", "decoder"] = "both",
    half: bool = False,
    onnxruntime_web: str | None = None,
    points: int = 10_000,
    map: Literal["auto", "units", "pca", "umap"] = "auto",
    seed: int = 0,
    out: str | None = None,
    force: bool = False,
) -> Path:
    r"""Write a trained run as a folder: ONNX files, a web page that runs in the visitor's browser, or a model to share.

    Arguments:
        run: The run directory.
        to: What to make: onnx, encoder.onnx and decoder.onnx; web, a page for any static host that decodes in the
            browser; or huggingface, weights, configuration and a model card, which vaekit.load reads.
        parts: For onnx, which of the two files.
        half: For onnx and web, keep the weights in half precision, in files of half the size.
        onnxruntime_web: For web, the package onnxruntime-web, as a folder or as the .tgz file of `npm pack`; by default
            npm is asked for it.
        points: For web, test examples on the map.
        map: For web, how the map lays out the codes: units, pca, umap, or auto.
        seed: Of the examples on the map, and of draws that the export is tried on.
        out: The folder; by default the value of --to in the run directory.
        force: Replace another export.

    Returns:
        Where the folder is.

    Raises:
        RequestError: If there is no trained run, it cannot be exported or does not give there what it gives here, or
            the folder cannot be written.
    """
    if to != "onnx" and parts != "both":
        raise RequestError(f"--parts is {parts!r}, which is for --to onnx: leave it out")
    if to != "web" and onnxruntime_web is not None:
        raise RequestError("--onnxruntime-web is for --to web: leave it out")
    if to == "huggingface" and half:
        raise RequestError("--half is for --to onnx and web: leave it out")
    from vaekit.runs import Run

    trained = Run(run)
    trained.require_trained()
    folder = trained.directory / to if out is None else Path(out)
    if to == "huggingface":
        from vaekit.export.huggingface import huggingface

        huggingface(trained, folder, force=force)
        return folder
    if to == "web":
        from vaekit.export.static import web

        differences = web(
            trained,
            folder,
            onnxruntime_web=onnxruntime_web,
            points=points,
            method=map,
            seed=seed,
            half=half,
            force=force,
        )
    else:
        differences = _onnx(trained, folder, parts, half, seed, force)
    print("largest difference from PyTorch: " + ", ".join(f"{name} {apart:.1e}" for name, apart in differences.items()))
    if to == "web":
        print(f"see it with: python -m http.server 8000 --bind 127.0.0.1 --directory {folder}")
    return folder


def _onnx(
    run: "Run", folder: Path, parts: Literal["both", "encoder", "decoder"], half: bool, seed: int, force: bool
) -> dict[str, float]:
    from vaekit.export.folder import whole_folder
    from vaekit.export.graphs import onnx
    from vaekit.export.provenance import said_of, some_examples

    said = said_of(run)
    examples, context = some_examples(run)
    with whole_folder(folder, {"kind": "onnx", **said}, force=force) as (place, record):
        exported = onnx(
            run.model, place, parts=parts, examples=examples, context=context, metadata=said, half=half, seed=seed
        )
        record |= {"half": half, "latent_dim": exported.latent_dim, "differences": exported.differences}
    return exported.differences
