r"""What the commands do with a trained run, to files.

The command line takes their options and help from their signatures and docstrings, and answers `--help` from them:
what is heavy is imported inside.
"""

from vaekit.commands.attributes import attribute
from vaekit.commands.canvas import canvas
from vaekit.commands.codes import decode, encode
from vaekit.commands.examples import reconstruct, sample
from vaekit.commands.lecture import three_ways
from vaekit.commands.moves import interpolate, manifold, traverse
from vaekit.commands.regress import regress

__all__ = [
    "attribute",
    "canvas",
    "decode",
    "encode",
    "interpolate",
    "manifold",
    "reconstruct",
    "regress",
    "sample",
    "three_ways",
    "traverse",
]
