r"""Open the explorer: from the command line, or in a notebook."""

__all__ = ["explore", "serve"]

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from vaekit.explorer.notebook import Explorer
    from vaekit.explorer.service import Service
    from vaekit.models import VAE
    from vaekit.runs import Run


def explore(
    run: "Run | VAE | str | os.PathLike[str]",
    data: Any = None,
    *,
    points: int = 10_000,
    method: Literal["auto", "units", "pca", "umap"] = "auto",
    seed: int = 0,
) -> "Explorer":
    r"""Return the explorer of a latent space, which shows itself in a notebook and in a Panel application.

    Arguments:
        run: A run, its directory, or a model.
        data: Other data than the run's; needed for a model.
        points: How many examples of the test split are on the map.
        method: How codes are laid out on the map; see `vaekit.explorer.projection.project`.
        seed: Of the choice of examples, and of what is random in the map.

    Raises:
        RequestError: If there is no trained run, it cannot be explored, or Panel is not installed.
    """
    service = _service(run, data, points, method, seed)
    from vaekit.explorer.notebook import Explorer

    return Explorer(service)


def serve(
    run: str,
    data: str | None = None,
    port: int = 0,
    points: int = 10_000,
    map: Literal["auto", "units", "pca", "umap"] = "auto",
    seed: int = 0,
    browser: bool = True,
) -> None:
    r"""Explore a latent space by hand, on a page in the browser.

    The page is served to this machine only, under an address that this command prints, until Ctrl-C.

    Arguments:
        run: The run directory.
        data: Other data than those it was trained on.
        port: Where to listen; 0 for any free port.
        points: How many examples of the test split are on the map.
        map: How they are laid out: units, the first two; pca; umap, which needs umap-learn; auto for units of up to
            two, and else pca.
        seed: Of the choice of examples, and of what is random in the map.
        browser: Open the page in the browser.

    Raises:
        RequestError: If there is no trained run, it cannot be explored, Panel is not installed, or the port is taken.
    """
    import asyncio
    import signal
    import webbrowser

    from vaekit.explorer.server import Server

    server = Server(_service(run, data, points, map, seed), port)

    async def until_stopped() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            _on_signal(loop, number, stop.set)
        print(f"explorer: {server.url}\nCtrl-C ends it", flush=True)
        if browser:
            loop.run_in_executor(None, webbrowser.open, server.url)
        await server.run(stop)

    asyncio.run(until_stopped())


def _service(run: Any, data: Any, points: int, method: str, seed: int) -> "Service":
    from vaekit.explorer.description import description_of
    from vaekit.explorer.service import Service
    from vaekit.explorer.subject import subject_of

    subject = subject_of(run, data)
    return Service(subject, description_of(subject, points, seed, method))


def _on_signal(loop: Any, number: int, act: Callable[[], None]) -> None:
    import signal

    try:
        loop.add_signal_handler(number, act)
    except NotImplementedError:  # on Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(act))
