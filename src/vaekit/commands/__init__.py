r"""What the commands do with a trained run, to files.

The command line takes their options and help from their signatures and docstrings, and answers `--help` from them:
what is heavy is imported inside.
"""

from vaekit.commands.codes import decode, encode
from vaekit.commands.examples import reconstruct, sample

__all__ = ["decode", "encode", "reconstruct", "sample"]
