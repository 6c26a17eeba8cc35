r"""The Olivetti faces: forty people, ten pictures of each, through scikit-learn."""

__all__ = ["load_olivetti"]

import os

import numpy as np

from vaekit.data.dataset import Dataset, Split
from vaekit.errors import RequestError

_PEOPLE = 40
_LEVELS = 243  # scikit-learn gives multiples of 1/242


def load_olivetti(folder: str | os.PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    r"""Load the 400 Olivetti faces, grey, 64 by 64; the labels are the people.

    x is uint8 of shape `(n, 1, 64, 64)` with the 243 levels that scikit-learn gives, none of them rounded. The split
    is fixed, and stratified: of the ten pictures of every person, seven train, one validates, two test. So the people
    who are tested on are those who were trained on.

    scikit-learn downloads the faces once, 4 MB, and keeps them in a file that is a pickle: name a folder only if you
    trust what is in it.

    References:
        Parameterisation of a stochastic model for human face identification (Samaria and Harter, 1994).

    Arguments:
        folder: Where scikit-learn keeps its data; by default `SCIKIT_LEARN_DATA`, else `~/scikit_learn_data`.
        download: Download them if they are not there.

    Raises:
        RequestError: If they are not there and cannot be downloaded, or the file is damaged.
    """
    from sklearn.datasets import fetch_olivetti_faces, get_data_home

    where = os.fspath(folder) if folder is not None else get_data_home()
    try:
        faces = fetch_olivetti_faces(data_home=where, download_if_missing=download)
    except OSError as error:  # no file, no network, or a file that is not what it should be
        raise RequestError(
            f"the Olivetti faces are not in {where}, and "
            + (f"downloading them failed ({error})" if download else "download is off")
            + "; expected scikit-learn's olivetti_py3.pkz there: connect to the internet once, or name a folder that "
            'has it, with --data-options \'{"folder": "PATH"}\''
        ) from error
    except Exception as error:  # damaged pickles raise whatever they like
        raise RequestError(
            f"the Olivetti faces in {where} cannot be read ({type(error).__name__}: {error}); expected scikit-learn's "
            "olivetti_py3.pkz: delete the file, and it is downloaded again"
        ) from error
    x = np.rint(faces.images[:, None] * (_LEVELS - 1)).astype(np.uint8)
    labels = faces.target.astype(np.int64)
    random = np.random.RandomState(0)
    chosen = [random.permutation(np.flatnonzero(labels == person)) for person in range(_PEOPLE)]
    train, validation, test = (
        Split(x[rows], labels[rows])
        for rows in (np.sort(np.concatenate([c[part] for c in chosen])) for part in (np.s_[:7], np.s_[7:8], np.s_[8:]))
    )
    return Dataset(
        name="olivetti",
        train=train,
        validation=validation,
        test=test,
        levels=_LEVELS,
        label_names=tuple(f"person {number}" for number in range(1, _PEOPLE + 1)),
        suggested="gaussian",
        source="The database of faces (AT&T Laboratories Cambridge, 1992-1994), by scikit-learn",
        note="fixed split, stratified by person: 7 of 10 pictures train, 1 validates, 2 test",
    )
