import base64
import json

import numpy as np
import pytest
import torch

from vaekit.errors import RequestError
from vaekit.explorer.description import description_of
from vaekit.explorer.projection import project
from vaekit.explorer.subject import subject_of


def unpacked(text: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(shape)


@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_a_place_on_a_linear_map_is_the_orthogonal_projection_of_its_code(small, latent_dim):
    description = description_of(small(latent_dim))
    drawn = description["map"]
    n = len(drawn["rows"])
    points, codes = unpacked(drawn["points"], n, 2), unpacked(drawn["codes"], n, latent_dim)
    mean, axes = np.array(drawn["mean"]), np.array(drawn["axes"])
    back = mean + points @ axes
    if latent_dim <= 2:
        np.testing.assert_allclose(back, codes, atol=1e-5)
    else:  # what is left is orthogonal to the plane, and no plane leaves less
        left = codes - back
        np.testing.assert_allclose(left @ axes.T, 0, atol=1e-5)
        np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-6)
        least = np.linalg.svd(codes - codes.mean(0), compute_uv=False)[2:]
        assert (left**2).sum() == pytest.approx((least**2).sum(), rel=1e-4)


def test_codes_are_the_posterior_means_of_the_rows(small):
    subject = small(5)
    drawn = description_of(subject, points=30, seed=3)["map"]
    rows = drawn["rows"]
    assert len(rows) == 30
    with torch.no_grad():
        q = subject.model.encode(torch.from_numpy(subject.data.test.x[rows]).float() / 255)
    np.testing.assert_allclose(unpacked(drawn["codes"], 30, 5), q.mean.numpy(), atol=1e-5)
    assert drawn["labels"] == subject.data.test.labels[rows].tolist()


def test_units_come_by_their_rate(small):
    subject = small(5)
    units = description_of(subject)["latent"]["units"]
    with torch.no_grad():
        q = subject.model.encode(torch.from_numpy(subject.data.test.x).float() / 255)
    mean, variance = q.mean, q.stddev**2
    rate = (0.5 * (mean**2 + variance - 1 - variance.log())).mean(0)  # the closed form against a standard normal
    assert [unit["index"] for unit in units] == rate.argsort(descending=True).tolist()
    assert [unit["rate"] for unit in units] == pytest.approx(rate.sort(descending=True).values.tolist(), abs=1e-4)
    assert all(unit["low"] <= -3 and unit["high"] >= 3 for unit in units)


def test_attributes_point_from_those_without_to_those_with(small):
    subject = small(5)
    description = description_of(subject)
    codes, labels = unpacked(description["map"]["codes"], -1, 5), np.array(description["map"]["labels"])
    assert [attribute["name"] for attribute in description["attributes"]] == ["0", "1", "2"]
    for number, attribute in enumerate(description["attributes"]):
        along = codes @ np.array(attribute["vector"])
        gap = codes[labels == number].mean(0) - codes[labels != number].mean(0)
        # The projected means are apart by the whole distance of the means, and no direction shows more of it.
        assert along[labels == number].mean() - along[labels != number].mean() == pytest.approx(
            np.linalg.norm(gap), rel=1e-4
        )
        # Strength 1 goes from the mean of those without to the mean of those with.
        assert attribute["spread"] == pytest.approx(np.linalg.norm(gap), rel=1e-4)


def test_the_same_seed_gives_the_same_description_to_the_byte(small):
    one, two, other = (json.dumps(description_of(small(3), points=20, seed=s)) for s in (1, 1, 2))
    assert one == two != other


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda small: project(np.zeros((5, 3), np.float32), "tsne"), "expected one of auto, units, pca, umap"),
        (lambda small: description_of(small(2), points=1), "expected at least 2"),
        (lambda small: subject_of(small(2).model), "a model was given without data"),
        (
            lambda small: subject_of(torch.nn.Linear(2, 2), "digits"),
            "not one vector of real numbers.*vaekit reconstruct",
        ),
    ],
)
def test_what_cannot_be_described_is_refused(small, act, message):
    with pytest.raises(RequestError, match=message):
        act(small)


def test_strokes_have_sliders_that_follow_them(small):
    description = description_of(subject_of_strokes(small))
    assert [attribute["name"] for attribute in description["attributes"]][3:] == ["thickness", "slant", "width"]


def test_a_conditional_model_is_offered_its_classes_and_no_sliders_of_them(small):
    description = description_of(small(3, conditional=True))
    assert description["classes"] == ["0", "1", "2"]
    assert description["attributes"] == []


def subject_of_strokes(small):
    """Bars of several widths on paper of 0."""
    from dataclasses import replace

    from vaekit.data import from_arrays

    subject = small(2, (1, 12, 12), n=120)
    bars = np.zeros((120, 1, 12, 12), np.uint8)
    for number, bar in enumerate(bars):
        bar[0, 2:10, 3 : 5 + number % 4] = 255
        bar[0, 2, 3 : 7 + number % 3] = 255
    return replace(subject, data=from_arrays(bars, labels=np.arange(120) % 3, test=60))
