r"""Figures hold the numbers and pixels they were given, whatever the shape, and are the same bytes each time."""

import base64
import os
import subprocess
import sys
import threading

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.patches import Circle
from PIL import Image

from vaekit import figures
from vaekit.errors import RequestError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pixels(figure, path):
    r"""Return what a reader sees: the saved file's pixels, `(height, width, 3)`."""
    with Image.open(figures.save(figure, path)) as image:
        return np.asarray(image.convert("RGB"))


def history(epochs):
    t = np.arange(epochs)
    rate, distortion = 25 - 20 * np.exp(-t / 3), 70 + 500 * np.exp(-t)
    late = np.maximum(0, t - 30) * 0.1
    columns = {"epoch": t + 1, "train_rate": rate, "train_distortion": distortion, "train_elbo": -rate - distortion}
    columns |= {"validation_rate": rate + 1, "validation_distortion": distortion + late}
    columns |= {"validation_elbo": -rate - 1 - distortion - late}
    return {name: [str(v) for v in values] for name, values in columns.items()}  # as a csv reader gives them


def line(ax, label):
    return next(one for one in ax.lines if one.get_label() == label)


# --- pictures


def test_sample_grid_puts_every_tile_in_its_place_pixel_for_pixel(rng, tmp_path):
    x = rng.integers(0, 256, (5, 1, 6, 9), dtype=np.uint8)
    seen = pixels(figures.sample_grid(x, columns=3), tmp_path / "a.png")
    scale = 10  # 29 columns of pixels, at most ten screen pixels each
    assert seen.shape == ((2 * 6 + 1) * scale, (3 * 9 + 2) * scale, 3)
    for i in range(5):
        top, left = i // 3 * 7, i % 3 * 10
        tile = seen[top * scale : (top + 6) * scale, left * scale : (left + 9) * scale]
        expected = np.kron(x[i, 0], np.ones((scale, scale), np.uint8))
        np.testing.assert_array_equal(tile, np.stack([expected] * 3, -1))
    assert (seen[7 * scale :, 20 * scale :] == 255).all()  # the empty place is paper


@pytest.mark.parametrize("width", [28, 31, 97, 333])
def test_every_canvas_pixel_becomes_a_square_of_whole_screen_pixels(rng, tmp_path, width):
    x = rng.integers(0, 256, (1, 3, 11, width), dtype=np.uint8)
    seen = pixels(figures.sample_grid(x), tmp_path / "a.png")
    scale = seen.shape[1] // width
    assert seen.shape == (11 * scale, width * scale, 3)
    np.testing.assert_array_equal(seen[scale // 2 :: scale, scale // 2 :: scale], np.moveaxis(x[0], 0, -1))


def test_manifold_is_seamless_with_the_first_tile_at_the_top_left(rng, tmp_path):
    grid = rng.integers(0, 256, (3, 4, 3, 5, 7), dtype=np.uint8)
    figure = figures.manifold(grid)
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    assert canvas.shape == (15, 28, 3)
    for row in range(3):
        for column in range(4):
            tile = canvas[row * 5 : row * 5 + 5, column * 7 : column * 7 + 7]
            np.testing.assert_array_equal(tile, np.moveaxis(grid[row, column], 0, -1))
    seen = pixels(figure, tmp_path / "m.png")
    scale, left, top = 10, 64, 14
    np.testing.assert_array_equal(seen[top + 5 : top + 150 : scale, left + 5 : left + 280 : scale], canvas)


def test_manifold_ticks_are_quantiles_left_to_right_and_bottom_to_top():
    ax = figures.manifold(np.zeros((20, 10, 1, 4, 8))).axes[0]
    for axis, at in ((ax.xaxis, lambda q: q * 80 - 0.5), (ax.yaxis, lambda q: (1 - q) * 80 - 0.5)):
        quantiles = [float(label.get_text().rstrip("%")) / 100 for label in axis.get_ticklabels()]
        assert quantiles == [0.05, 0.25, 0.5, 0.75, 0.95]
        np.testing.assert_allclose(axis.get_ticklocs(), [at(q) for q in quantiles])


def test_manifold_takes_the_callers_quantiles():
    ax = figures.manifold(np.zeros((3, 3, 1, 4, 4)), quantiles=([0.25, 0.5, 0.75], [0.25, 0.5, 0.75])).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["25%", "50%", "75%"]
    np.testing.assert_allclose(ax.get_yticks(), [9.5, 5.5, 1.5])  # the lowest at the bottom
    np.testing.assert_allclose(ax.get_xticks(), [1.5, 5.5, 9.5])
    with pytest.raises(RequestError, match="quantiles"):
        figures.manifold(np.zeros((3, 3, 1, 4, 4)), quantiles=([0.5], [0.5]))


def test_originals_stand_above_their_reconstructions():
    x = np.linspace(0, 1, 12).reshape(12, 1, 1, 1) * np.ones((1, 1, 3, 3))
    figure = figures.reconstructions(x, 1 - x, columns=10)  # twelve in two even bands of six
    canvas = np.asarray(figure.axes[0].images[0].get_array())[..., 0]
    for i in range(12):
        top, left = i // 6 * (3 + 1 + 3 + 3), i % 6 * 4
        assert (canvas[top : top + 3, left : left + 3] == np.rint(255 * i / 11)).all()
        assert (canvas[top + 4 : top + 7, left : left + 3] == np.rint(255 * (1 - i / 11))).all()
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["original", "reconstruction"] * 2
    np.testing.assert_array_equal(ax.get_yticks(), [1, 5, 11, 15])


def test_reconstructions_of_pixels_are_clipped_and_real_numbers_share_one_scale():
    black_white = np.array([0.0, 1.0]).reshape(1, 1, 1, 2)
    canvas = np.asarray(figures.reconstructions(black_white, 3 * black_white - 1).axes[0].images[0].get_array())
    np.testing.assert_array_equal(canvas[[0, 2], :, 0], [[0, 255], [0, 255]])
    canvas = np.asarray(figures.reconstructions(4 * black_white - 2, 0 * black_white).axes[0].images[0].get_array())
    np.testing.assert_array_equal(canvas[[0, 2], :, 0], [[0, 255], [128, 128]])


def test_bits_stored_as_bytes_are_black_and_white():
    bits = np.array([[0, 1]], np.uint8).reshape(1, 1, 1, 2)
    canvas = np.asarray(figures.sample_grid(bits).axes[0].images[0].get_array())
    np.testing.assert_array_equal(canvas[0, :, 0], [0, 255])


def test_samples_that_overshoot_a_little_are_clipped_and_far_ones_are_scaled():
    def shown(x, **more):
        return np.asarray(figures.sample_grid(np.reshape(x, (1, 1, 1, 3)), **more).axes[0].images[0].get_array())[
            0, :, 0
        ]

    np.testing.assert_array_equal(shown([-0.1, 0.2, 1.1]), [0, 51, 255])
    np.testing.assert_array_equal(shown([-1.0, 0.0, 4.0]), [0, 51, 255])
    np.testing.assert_array_equal(shown([-1.0, 0.2, 4.0], limits=(0, 1)), [0, 51, 255])


def test_pixels_that_are_not_numbers_are_red():
    x = np.full((1, 1, 1, 2), 0.2)
    x[..., 1] = np.nan
    canvas = np.asarray(figures.sample_grid(x).axes[0].images[0].get_array())
    np.testing.assert_array_equal(canvas[0], [[51, 51, 51], [255, 0, 0]])


def test_a_constant_image_is_drawn():
    assert np.asarray(figures.sample_grid(np.full((1, 1, 2, 2), 7.0)).axes[0].images[0].get_array()).shape == (2, 2, 3)


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_short_vectors_are_scattered_original_against_reconstruction(rng, columns):
    x = rng.normal(size=(20, columns))
    y = x + rng.normal(size=x.shape)
    axes = figures.reconstructions(x, y).axes
    assert len(axes) == columns
    for i, ax in enumerate(axes):
        (dots,) = [c for c in ax.collections if isinstance(c, PathCollection)]
        np.testing.assert_array_equal(dots.get_offsets(), np.stack([x[:, i], y[:, i]], 1))


def test_long_vectors_are_lines_one_over_the_other(rng):
    x = rng.normal(size=(30, 9))
    axes = figures.reconstructions(x, -x).axes
    assert len(axes) == 24
    for i, ax in enumerate(axes):
        np.testing.assert_array_equal(line(ax, "original").get_ydata(), x[i])
        np.testing.assert_array_equal(line(ax, "reconstruction").get_ydata(), -x[i])
    assert len({ax.get_ylim() for ax in axes}) == 1


def test_sampled_vectors(rng):
    assert sum(bar.get_height() for bar in figures.sample_grid(rng.normal(size=(50, 1))).axes[0].patches) == 50
    x = rng.normal(size=(50, 3))
    pairs = [np.asarray(ax.collections[0].get_offsets()) for ax in figures.sample_grid(x).axes]
    for got, (a, b) in zip(pairs, [(0, 1), (0, 2), (1, 2)], strict=True):
        np.testing.assert_array_equal(got, x[:, [a, b]])
    assert len(figures.sample_grid(rng.normal(size=(3, 5, 4))).axes) == 3  # sequences: one plot each


def test_a_picture_request_that_cannot_be_met_says_why():
    with pytest.raises(RequestError, match="same shape"):
        figures.reconstructions(np.zeros((2, 1, 3, 3)), np.zeros((2, 1, 3, 4)))
    with pytest.raises(RequestError, match="at least one"):
        figures.sample_grid(np.zeros((0, 1, 3, 3)))
    with pytest.raises(RequestError, match=r"\(rows, columns, C, H, W\)"):
        figures.manifold(np.zeros((4, 1, 3, 3)))


# --- plots


def test_loss_curves_show_the_negative_bound_and_its_two_parts():
    columns = history(40)
    axes = figures.loss_curves(columns).axes
    for ax, name, sign in zip(axes, ("elbo", "rate", "distortion"), (-1, 1, 1), strict=True):
        for split in ("train", "validation"):
            got = line(ax, split)
            np.testing.assert_allclose(got.get_ydata(), sign * np.array(columns[f"{split}_{name}"], float))
            np.testing.assert_allclose(got.get_xdata(), np.arange(1, 41))
    assert axes[0].get_xlabel() == "epoch"
    assert "nats" in axes[0].get_ylabel()


def test_the_best_epoch_is_the_highest_validation_bound_unless_it_is_given():
    columns = history(40)
    best = int(np.argmax(np.array(columns["validation_elbo"], float))) + 1
    assert 1 < best < 40
    for given, expected in ((None, best), (12, 12)):
        for ax in figures.loss_curves(columns, best_epoch=given).axes:
            assert [one.get_xdata()[0] for one in ax.lines if one.get_linestyle() == "--"] == [expected]
        ax = figures.loss_curves(columns, best_epoch=given).axes[0]
        (mark,) = [one for one in ax.lines if "best" in str(one.get_label())]
        assert mark.get_xdata()[0] == expected
        assert mark.get_ydata()[0] == pytest.approx(-float(columns["validation_elbo"][expected - 1]))


def test_the_first_epochs_do_not_squeeze_the_rest_but_a_late_spike_is_seen():
    columns = history(40)
    assert figures.loss_curves(columns).axes[0].get_ylim()[1] < -float(columns["train_elbo"][0])
    columns["train_elbo"][35] = "-900"
    assert figures.loss_curves(columns).axes[0].get_ylim()[1] > 900
    short = history(10)
    assert figures.loss_curves(short).axes[0].get_ylim()[1] > -float(short["train_elbo"][0])


def test_one_epoch_is_a_visible_point(tmp_path):
    figure = figures.loss_curves(history(1))
    assert line(figure.axes[1], "train").get_marker() == "o"
    assert figures.save(figure, tmp_path / "one.png").stat().st_size > 0


def test_loss_curves_do_without_what_is_missing():
    assert [ax.get_title(loc="left") for ax in figures.loss_curves({"train_loss": [3, None, 1]}).axes] == ["loss"]
    figure = figures.loss_curves({"train_elbo": [-3, -2, -1], "validation_elbo": ["", "", -2]})
    np.testing.assert_array_equal(line(figure.axes[0], "validation").get_xdata(), [3])
    with pytest.raises(RequestError, match="the history has epoch"):
        figures.loss_curves({"epoch": [1], "train_elbo": [float("nan")]})


def test_latent_scatter_colours_each_point_by_its_label(rng):
    z, labels = rng.normal(size=(60, 2)), np.arange(60) % 5
    ax = figures.latent_scatter(z, labels, list("abcde"), axes=("first", "second")).axes[0]
    (dots,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    drawn = {
        tuple(point): to_hex(c) for point, c in zip(np.asarray(dots.get_offsets()), dots.get_facecolors(), strict=True)
    }
    assert drawn == {tuple(point): figures.COLOURS[c] for point, c in zip(z, labels, strict=True)}
    legend = ax.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == list("abcde")
    assert [to_hex(h.get_color()) for h in legend.legend_handles] == list(figures.COLOURS[:5])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("first", "second")
    assert ax.get_aspect() == 1


def test_latent_scatter_circles_are_the_priors_and_all_in_view(rng):
    ax = figures.latent_scatter(0.01 * rng.normal(size=(9, 2))).axes[0]
    assert [c.radius for c in ax.patches if isinstance(c, Circle)] == [1, 2, 3]
    assert ax.get_xlim()[1] > 3
    assert ax.get_ylim()[0] < -3
    assert ax.get_legend() is None
    plain = figures.latent_scatter(rng.normal(size=(9, 2)), circles=False).axes[0]
    assert not [c for c in plain.patches if isinstance(c, Circle)]


def test_more_classes_than_colours_have_another_marker(rng):
    ax = figures.latent_scatter(rng.normal(size=(30, 2)), np.arange(30)).axes[0]
    handles = ax.get_legend().legend_handles
    assert len({(h.get_marker(), to_hex(h.get_color())) for h in handles}) == 30
    assert sum(len(c.get_offsets()) for c in ax.collections) == 30


def test_odd_labels(rng, tmp_path):
    z = rng.normal(size=(6, 2))
    figure = figures.latent_scatter(z, [-1, 0, 1, 2, 2, 9], ["$\\a$", "_b$", "c"])  # no mathematics, no hidden names
    names = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert names == ["unlabelled", "$\\a$", "_b$", "c", "9"]
    figures.save(figure, tmp_path / "odd.png")
    continuous = figures.latent_scatter(z, np.linspace(0, 1, 6))
    assert len(continuous.axes) == 2  # the second is the colour bar
    z[0] = np.nan
    assert len(figures.latent_scatter(z).axes[0].collections[0].get_offsets()) == 5


def test_latent_scatter_shows_draws_of_another_prior_under_the_points(rng):
    z, drawn = rng.normal(size=(40, 2)), rng.normal(size=(25, 2)) + 5
    ax = figures.latent_scatter(z, np.zeros(40, int), prior=drawn).axes[0]
    under, *over = ax.collections
    np.testing.assert_allclose(under.get_offsets(), drawn)
    assert sum(len(points.get_offsets()) for points in over) == 40
    assert under.get_zorder() < min(points.get_zorder() for points in over)
    assert not ax.patches  # no circles of a standard normal, which it is not
    with pytest.raises(RequestError, match="prior has shape"):
        figures.latent_scatter(z, prior=drawn[:, :1])


def test_latent_scatter_refuses_other_shapes():
    with pytest.raises(RequestError, match="expected \\(n, 2\\)"):
        figures.latent_scatter(np.zeros((4, 3)))
    with pytest.raises(RequestError, match="one label a point"):
        figures.latent_scatter(np.zeros((4, 2)), [0, 1])


def test_unit_rates_are_sorted_and_active_ones_stand_out():
    rates, active = np.array([0.01, 3.0, 0.5, 1.0]), np.array([False, True, False, True])
    ax = figures.unit_rates(rates, active).axes[0]
    assert [bar.get_height() for bar in ax.patches] == [3.0, 1.0, 0.5, 0.01]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "3", "2", "0"]
    colours = [to_hex(bar.get_facecolor()) for bar in ax.patches]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["active: 2", "inactive: 2"]
    assert len(figures.unit_rates(np.ones(512), np.ones(512)).axes[0].patches) == 512
    with pytest.raises(RequestError, match="one length"):
        figures.unit_rates([1.0], [True, False])


def test_bound_curve_is_sorted_by_k_with_a_tick_for_each():
    ax = figures.bound_curve([500, 1, 10], [-88.9, -93.9, -90.5], [0.1, 0.3, 0.2]).axes[0]
    (curve,) = [one for one in ax.lines if one.get_marker() == "o"]
    np.testing.assert_array_equal(curve.get_xdata(), [1, 10, 500])
    np.testing.assert_array_equal(curve.get_ydata(), [-93.9, -90.5, -88.9])
    assert ax.get_xscale() == "log"
    np.testing.assert_array_equal(ax.get_xticks(), [1, 10, 500])
    assert {t.get_text() for t in ax.texts} == {"−93.90", "−88.90"}
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(-94.2)
    with pytest.raises(RequestError, match="every k positive"):
        figures.bound_curve([0, 1], [1, 2])


def test_bound_curve_of_one_point_and_of_many(tmp_path):
    figures.save(figures.bound_curve([5], [-88.0]), tmp_path / "one.png")
    many = figures.bound_curve(np.arange(1, 200), -100 + np.log(np.arange(1, 200))).axes[0]
    assert 3 <= len(many.get_xticks()) <= 10
    assert many.get_xticks()[-1] == 199


# --- files and style


def drawn(rng):
    columns = history(5)
    z = rng.normal(size=(50, 2))
    return {
        "loss": figures.loss_curves(columns),
        "reconstructions": figures.reconstructions(z, z),
        "samples": figures.sample_grid(z),
        "latent": figures.latent_scatter(z, np.arange(50) % 3),
        "manifold": figures.manifold(rng.uniform(size=(2, 2, 3, 4, 5))),
        "units": figures.unit_rates([1, 2], [True, False]),
        "bound": figures.bound_curve([1, 10], [-2, -1], [0.1, 0.1]),
    }


def test_the_same_figure_is_the_same_bytes_saved_twice_or_drawn_twice(tmp_path):
    first, second = drawn(np.random.default_rng(1)), drawn(np.random.default_rng(1))
    for name in first:
        content = figures.save(first[name], tmp_path / "a.png").read_bytes()
        assert figures.save(first[name], tmp_path / "b.png").read_bytes() == content, name
        assert figures.save(second[name], tmp_path / "c.png").read_bytes() == content, name
        with Image.open(tmp_path / "a.png") as image:
            assert set(image.info) == {"dpi"}, name  # no date, no version
            assert image.info["dpi"] == pytest.approx((120, 120), abs=0.1)


def test_the_users_settings_change_nothing_and_are_not_changed(tmp_path):
    plain = figures.save(figures.unit_rates([1, 2], [True, False]), tmp_path / "a.png").read_bytes()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.bbox": "tight"}):
        before = dict(matplotlib.rcParams)
        styled = figures.save(figures.unit_rates([1, 2], [True, False]), tmp_path / "b.png").read_bytes()
        assert dict(matplotlib.rcParams) == before
    assert styled == plain


def test_threads_draw_the_same_and_leave_the_settings_as_they_were(tmp_path):
    before, found = dict(matplotlib.rcParams), {}

    def work(i):
        found[i] = figures.save(figures.bound_curve([1, 10], [-2, -1]), tmp_path / f"{i}.png").read_bytes()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found.values())) == 1
    assert dict(matplotlib.rcParams) == before


def test_neither_pyplot_nor_torch_is_imported():
    code = "import sys, vaekit.figures as f; f.data_uri(f.unit_rates([1.0], [True]));"
    code += "print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=where)
    assert result.stdout.split() == ["False", "False"]


def test_saving_makes_folders_and_leaves_nothing_else_behind(tmp_path):
    path = figures.save(figures.unit_rates([1.0], [True]), tmp_path / "deep" / "down" / "u.png")
    assert [p.name for p in path.parent.iterdir()] == ["u.png"]


def test_data_uri_of_a_figure_and_of_its_file_agree(tmp_path):
    figure = figures.unit_rates([1.0], [True])
    path = figures.save(figure, tmp_path / "u.png")
    uri = figures.data_uri(path)
    assert uri == figures.data_uri(figure) == figures.data_uri(str(path))
    assert base64.b64decode(uri.removeprefix("data:image/png;base64,")) == path.read_bytes()
    (tmp_path / "page.png").write_text("<svg onload=alert(1)>")
    for wrong in ("page.png", "missing.png"):
        with pytest.raises(RequestError, match="not a PNG"):
            figures.data_uri(tmp_path / wrong)


def test_class_colours_are_ten_and_legible_on_white():
    assert len(set(figures.COLOURS)) == 10
    for colour in figures.COLOURS:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgba(colour)[:3]]
        assert 1.05 / (np.dot(linear, [0.2126, 0.7152, 0.0722]) + 0.05) > 1.5, colour
