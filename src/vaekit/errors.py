r"""The errors that are not our fault: a request that cannot be met, with a hint, and a wish to stop."""

__all__ = ["Diverged", "Interrupted", "RequestError", "nearest"]

import difflib
from collections.abc import Iterable


class RequestError(ValueError):
    r"""The request is wrong, and the message says what was given, what was expected, and what to do.

    The command line prints the message on one line and exits with status 2, without a traceback.

    Example:
        >>> raise RequestError("latent_dim is 0; expected at least 1: pass --latent-dim 2 or more")
        Traceback (most recent call last):
            ...
        vaekit.errors.RequestError: latent_dim is 0; expected at least 1: pass --latent-dim 2 or more
    """


class Diverged(RequestError):
    r"""The loss is no longer a number. Every process that shares the work raises it."""


class Interrupted(Exception):
    r"""Training was asked to stop, and what it had done is saved. Every process that shares the work raises it."""


def nearest(name: str, choices: Iterable[str]) -> str:
    r"""Return a hint that names the choice closest to `name`, or the empty string if none is close.

    Example:
        >>> nearest("vea", ["vae", "aevb"])
        " Did you mean 'vae'?"
        >>> nearest("zzz", ["vae", "aevb"])
        ''
    """
    close = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
