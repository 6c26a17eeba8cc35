r"""The files that come with the package, each checked against its hash whenever it is read."""

__all__ = ["read_shipped"]

import hashlib
from pathlib import Path

from vaekit.errors import RequestError

FILES = Path(__file__).parent / "files"

SHA256 = {
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
    "binarized_mnist.npz": "50de2c8299a5a297789293ab2c30f6fc3cb8c359a15e5e88d5501aa18ebb8fa5",
    "melodies.txt": "a4f68b000d55856adbb7741307a8c0ce1dcb548efed3e5c646149bc71eaac0cd",
    "deepmimic.npz": "6a79170d1e6d4db9d037b5ef3e9e210ef478947251c942366d8d786d207705d3",
}


def read_shipped(name: str) -> bytes:
    r"""Return the bytes of a file of the package, once its hash is seen to be right.

    Arguments:
        name: One of those in `SHA256`.

    Raises:
        RequestError: If the file is missing or damaged.

    Example:
        >>> read_shipped("t10k-labels-idx1-ubyte.gz")[:2] == b"\x1f\x8b"  # gzip
        True
    """
    remedy = "reinstall vaekit: pip install --force-reinstall --no-deps vaekit"
    try:
        content = (FILES / name).read_bytes()
    except OSError as error:
        raise RequestError(
            f"the data file {FILES / name} cannot be read ({error.strerror}); expected it to come with vaekit: {remedy}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        raise RequestError(
            f"the data file {FILES / name} is damaged: {len(content):,} bytes with SHA-256 {found[:12]}…; "
            f"expected {SHA256[name][:12]}…: {remedy}"
        )
    return content
