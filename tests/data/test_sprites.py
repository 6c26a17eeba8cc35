import math
import pickle
import zipfile

import numpy as np
import pytest

from vaekit.data import Dataset
from vaekit.data.assembly import from_arrays
from vaekit.data.factors import FactorArrays, FactorizedData, FactorRows, Factors, known_factors
from vaekit.data.sprites import SPRITE_FACTORS, Sprites, load_dsprites, load_sprites, render
from vaekit.errors import RequestError

N = 737_280
SQUARE, ELLIPSE, HEART = 0, 1, 2
FIRST = [334_541, 499_329, 53_679]


def sprite(shape=SQUARE, scale=5, orientation=0, x=16, y=16):
    return render(np.array([[0, shape, scale, orientation, x, y]]))[0, 0]


def centre(image):
    rows, columns = np.nonzero(image)
    return columns.mean(), rows.mean()


def some(n, seed=0, **fixed):
    factors = SPRITE_FACTORS.sample(n, np.random.default_rng(seed))
    for name, value in fixed.items():
        factors[:, SPRITE_FACTORS.names.index(name)] = value
    return factors


@pytest.fixture(scope="module")
def sprites():
    return load_sprites()


def test_numbers_and_combinations_are_those_of_dsprites():
    assert SPRITE_FACTORS.sizes == (1, 3, 6, 40, 32, 32)
    assert SPRITE_FACTORS.combinations == N
    # Its notebook: the last factor is the least significant digit.
    assert SPRITE_FACTORS.classes(np.array([0, 1, 32, N - 1])).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 0],
        [0, 2, 5, 39, 31, 31],
    ]
    everything = np.arange(N)
    classes = SPRITE_FACTORS.classes(everything)
    assert np.array_equal(SPRITE_FACTORS.index(classes), everything)
    bases = [245_760 * 3, 245_760, 40_960, 1024, 32, 1]
    assert np.array_equal(classes @ bases, everything)
    assert (classes.max(0) + 1).tolist() == [1, 3, 6, 40, 32, 32]


def test_values_of_the_factors():
    first, last = SPRITE_FACTORS.values_of(SPRITE_FACTORS.classes(np.array([0, N - 1])))
    assert first.tolist() == [1, 1, 0.5, 0, 0, 0]
    assert last.tolist() == [1, 3, 1, 2 * math.pi, 1, 1]


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ([[0, 3, 0, 0, 0, 0]], "row 0 has class 3 of shape; expected one from 0 to 2"),
        ([[0, 0, 0, 0, 0, 0], [0, 0, 0, -1, 0, 0]], "row 1 has class -1 of orientation"),
        ([[0, 0, 0]], r"shape \(1, 3\); expected integers of shape \(n, 6\)"),
        ([[0.0] * 6], "factors are float64"),
    ],
)
def test_wrong_factors_are_refused(factors, said):
    with pytest.raises(RequestError, match=said):
        render(np.array(factors))
    with pytest.raises(RequestError, match="there is no combination 737280"):
        SPRITE_FACTORS.classes(np.array([3, N]))


def test_squares_are_squares():
    # A pixel's centre is inside within 9.6 of the middle, at 16 pixels from the left and 48 from the top: 20 of them
    # at full scale, at distances of 0.5, 1.5 … 9.5 on either side.
    for scale, side in enumerate((10, 12, 14, 16, 18, 20)):
        image = sprite(scale=scale, x=0, y=31)
        assert image[48 - side // 2 : 48 + side // 2, 16 - side // 2 : 16 + side // 2].all()
        assert image.sum() == side * side


@pytest.mark.parametrize(("shape", "area"), [(SQUARE, 19.2**2), (ELLIPSE, math.pi * 12.77 * 7.21), (HEART, None)])
def test_area_is_the_area_of_the_outline_times_the_square_of_the_scale(shape, area):
    if area is None:  # the shoelace formula on the curve itself
        t = np.linspace(0, 2 * math.pi, 10_001)
        x = 9.6 * np.sin(t) ** 3
        y = 0.662 * (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
        area = abs((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2
    means = []
    for scale, factor in enumerate(SPRITE_FACTORS.values[2]):
        areas = render(some(400, shape=shape, scale=scale)).sum((1, 2, 3))
        means.append(areas.mean())
        assert areas.mean() == pytest.approx(area * factor**2, rel=0.01)
        assert areas.std() < 0.06 * areas.mean()
    assert (np.diff(means) > 10).all()


def test_the_heart_is_inside_its_curve():
    # The published parametric curve, walked along: points just inside are 1 and just outside are 0.
    image = sprite(HEART, scale=5, orientation=0, x=0, y=0)
    middle = 16.0
    t = np.linspace(0, 2 * math.pi, 2001)
    x = 9.6 * np.sin(t) ** 3
    y = 0.662 * (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) + 1.4375
    for row in range(4, 28):
        for column in range(4, 28):
            dx, dy = column + 0.5 - middle, middle - row - 0.5
            # Winding number of the curve around the pixel's centre.
            angle = np.unwrap(np.arctan2(y - dy, x - dx))
            assert image[row, column] == (abs(angle[-1] - angle[0]) > math.pi)
    assert image.sum() == image[4:28, 4:28].sum()


def test_the_heart_stands_on_its_tip_and_turns_counter_clockwise():
    up = centre(sprite(HEART, orientation=0))
    quarter = centre(sprite(HEART, orientation=10))  # 92 degrees
    half = centre(sprite(HEART, orientation=20))  # 185 degrees
    middle = 16 + 32 * 16 / 31 - 0.5
    assert up[0] == pytest.approx(middle, abs=0.2)
    assert up[1] < middle - 1.5  # the two lobes are heavier than the tip
    assert quarter[0] < middle - 1.5
    assert half[1] > middle + 1.5
    # The tip itself: the lowest row is one or two pixels wide.
    assert sprite(HEART, orientation=0).any(1).nonzero()[0].max() == pytest.approx(middle + 9, abs=1)


def test_an_ellipse_lies_on_its_side_and_turns_counter_clockwise():
    def axis(orientation):
        rows, columns = np.nonzero(sprite(ELLIPSE, orientation=orientation))
        _, vectors = np.linalg.eigh(np.cov(columns, -rows))
        return math.degrees(math.atan2(vectors[1, -1], vectors[0, -1])) % 180

    assert min(axis(0), 180 - axis(0)) < 1
    for orientation in (3, 5, 8, 12):
        assert axis(orientation) == pytest.approx(orientation * 360 / 39, abs=2)


def test_the_centre_moves_with_the_position():
    for shape in (SQUARE, ELLIPSE):
        factors = some(32, shape=shape, scale=4, orientation=7, position_y=5)
        factors[:, 4] = np.arange(32)
        centres = np.array([centre(image[0]) for image in render(factors)])
        np.testing.assert_allclose(centres[:, 0], 15.5 + 32 * np.arange(32) / 31, atol=0.15)
        np.testing.assert_allclose(centres[:, 1], 15.5 + 32 * 5 / 31, atol=0.15)
    # x to the right, y down, as rows of an array go.
    assert np.array_equal(sprite(x=3, y=20), sprite(x=20, y=3).T)


def test_whole_pixels_apart_the_same_shape_moves():
    # Positions 0 and 31 are 32 pixels apart, exactly.
    for shape in range(3):
        near, far = sprite(shape, orientation=11, x=0, y=0), sprite(shape, orientation=11, x=31, y=31)
        assert np.array_equal(np.roll(near, (32, 32), (0, 1)), far)


def test_orientation_is_periodic():
    factors = some(300, orientation=0)
    last = factors.copy()
    last[:, 3] = 39
    assert np.array_equal(render(factors), render(last))
    # The ellipse looks the same after half a turn, the square after a quarter, the heart never: at 19 and 20 steps
    # of 39 an ellipse has turned by half a step less and more than a half, and so mirrors itself.
    for shape in (SQUARE, ELLIPSE, HEART):
        less = sprite(shape, orientation=19, x=0, y=0)[:32, :32]
        more = sprite(shape, orientation=20, x=0, y=0)[:32, :32]
        mirrored = np.array_equal(less, more[::-1] if shape != HEART else more[:, ::-1])
        assert mirrored
        assert np.array_equal(less, more) is False


def test_images_of_different_factors_differ():
    # Within one position and away from the last orientation, which is the first: 702 sprites.
    factors = np.stack(np.meshgrid(0, np.arange(3), np.arange(6), np.arange(39), 9, 22, indexing="ij"), -1)
    images = np.packbits(render(factors.reshape(-1, 6)).reshape(702, -1), axis=1)
    distinct = len(np.unique(images, axis=0))
    assert 690 <= distinct <= 702
    # Other shapes, scales and positions are never confused.
    flat = some(6000, seed=1, scale=0)
    seen = {}
    for row, image in zip(flat, np.packbits(render(flat).reshape(len(flat), -1), axis=1), strict=True):
        other = seen.setdefault(image.tobytes(), row)
        assert np.array_equal(np.delete(other, 3), np.delete(row, 3))


def test_no_sprite_touches_the_border():
    # The largest square, at the two ends of x and everywhere along y, in every orientation.
    grid = np.stack(np.meshgrid(0, 0, 5, np.arange(39), [0, 31], np.arange(32), indexing="ij"), -1).reshape(-1, 6)
    for factors in (grid, grid[:, [0, 1, 2, 3, 5, 4]]):
        rows, columns = np.nonzero(render(factors).any((0, 1)))
        assert min(rows.min(), columns.min()) == 2
        assert max(rows.max(), columns.max()) == 61


@pytest.mark.parametrize("size", [32, 64, 128])
def test_nothing_of_a_square_is_outside_the_window_it_is_rendered_in(size):
    # Its corners reach farthest at the orientations nearest to an eighth of a turn. Every pixel, every position.
    pixels = (np.arange(size) + 0.5) * 64 / size
    positions = np.stack(np.meshgrid(np.arange(32), np.arange(32)), -1).reshape(-1, 2)
    for orientation in (5, 34):
        factors = np.column_stack([np.tile([0, SQUARE, 5, orientation], (1024, 1)), positions])
        middle = 16 + 32 * positions / 31
        right, up = (pixels - middle[:, :1])[:, None, :], (middle[:, 1:] - pixels)[:, :, None]
        cos, sin = math.cos(orientation * 2 * math.pi / 39), math.sin(orientation * 2 * math.pi / 39)
        whole = np.maximum(abs(right * cos + up * sin), abs(up * cos - right * sin)) < 9.6
        assert np.array_equal(render(factors, size)[:, 0], whole)


@pytest.mark.parametrize("size", [32, 128])
def test_another_size_shows_the_same_shapes(size):
    factors = some(2000)
    image, other = render(factors) / 64.0**2, render(factors, size) / float(size) ** 2
    assert other.shape == (2000, 1, size, size)
    assert other.sum((2, 3)).mean() == pytest.approx(image.sum((2, 3)).mean(), rel=2e-3)
    for axis in (2, 3):  # and in the same places, to a fraction of a pixel of the smaller image
        centres = [
            (x.sum((1, 5 - axis)) * ((np.arange(n) + 0.5) / n)).sum(-1) / x.sum((1, 2, 3))
            for x, n in ((image, 64), (other, size))
        ]
        assert np.abs(centres[0] - centres[1]).max() < 0.4 / 32
    assert np.array_equal(Sprites(size).images(factors), render(factors, size))


def test_a_dataset_of_another_size_has_the_same_splits(sprites):
    small = load_sprites(n=50, size=32)
    assert (small.shape, small.options, len(small.train)) == ((1, 32, 32), {"n": 50, "size": 32}, 50)
    assert small.test.x.indices[:3].tolist() == FIRST
    assert np.array_equal(small.test.labels, sprites.test.labels)
    known = known_factors(small)
    assert known.images(some(3)).shape == (3, 1, 32, 32)


@pytest.mark.parametrize("make", [lambda: load_sprites(size=48), lambda: Sprites(48), lambda: render(some(1), 48)])
def test_there_are_three_sizes(make):
    with pytest.raises(RequestError, match="size is 48; expected the height of a sprite, one of 32, 64, 128"):
        make()


def test_every_way_of_asking_gives_the_same_image():
    factors = some(500)
    whole = render(factors)
    assert whole.shape == (500, 1, 64, 64)
    assert whole.dtype == np.uint8
    assert set(np.unique(whole)) == {0, 1}
    one_by_one = np.concatenate([render(factors[i : i + 1]) for i in range(500)])
    assert np.array_equal(whole, one_by_one)
    assert np.array_equal(render(factors[::-1].astype(np.uint8)), whole[::-1])
    assert render(factors[:0]).shape == (0, 1, 64, 64)


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 64, 128])
def test_no_pixel_is_so_near_to_an_outline_that_rounding_could_matter(size):
    # All shapes, scales, orientations and phases of a position between two pixels, with sine, cosine and cube root
    # wrong by a thousand times what any library's are: the same bits.
    phases = np.arange(31)
    at = np.stack(np.meshgrid(phases, phases), -1).reshape(-1, 2)
    middle = 16 + 32 * at / 31
    pixels = size * 28 // 64
    corner = np.floor(middle * size / 64 + 0.5) - pixels // 2
    offset = (corner[..., None] + 0.5 + np.arange(pixels)) * 64 / size - middle[..., None]
    right, up = offset[:, 0, None, :], -offset[:, 1, :, None]
    nearest = math.inf
    for scale in SPRITE_FACTORS.values[2]:
        for angle in SPRITE_FACTORS.values[3][:39]:
            u = (right * math.cos(angle) + up * math.sin(angle)) / scale
            v = (up * math.cos(angle) - right * math.sin(angle)) / scale
            w = 1 - np.cbrt((u / 9.6) ** 2)
            w, over = w[w > 0], ((v - 1.4375) / 0.662)[w > 0]
            for margin in (
                np.maximum(np.abs(u), np.abs(v)) - 9.6,
                (u / 12.77) ** 2 + (v / 7.21) ** 2 - 1,
                np.abs(over - 4 + 2 * w + 8 * w * w) - np.sqrt(w) * (19 - 8 * w),
            ):
                nearest = min(nearest, float(np.abs(margin).min()))
    assert nearest > 1e-10


def test_the_dataset(sprites):
    assert isinstance(sprites, Dataset)
    assert [len(split) for split in sprites.splits.values()] == [717_280, 10_000, 10_000]
    assert (sprites.shape, sprites.levels, sprites.suggested) == ((1, 64, 64), 2, "bernoulli")
    assert sprites.label_names == ("square", "ellipse", "heart")
    images, labels = sprites.test.x[np.arange(200)], sprites.test.labels[:200]
    factors = some(1)
    found = 0
    for image, label in zip(images, labels, strict=True):  # a label is the shape that the image shows
        factors[0, 1] = label
        found += image.sum() in range(40, 401)
    assert found == 200
    assert np.bincount(labels, minlength=3).min() > 40


def test_splits_are_fixed_disjoint_and_complete(sprites):
    orders = [split.x.indices for split in sprites.splits.values()]
    assert (np.bincount(np.concatenate(orders), minlength=N) == 1).all()
    for split in sprites.splits.values():
        rows = np.array([0, 7, len(split) - 1])
        factors = SPRITE_FACTORS.classes(split.x.indices[rows])
        assert np.array_equal(split.x[rows], render(factors))
        assert np.array_equal(split.labels[rows], factors[:, 1])
    # For good, in every version: these are numbers of combinations.
    assert sprites.test.x.indices[:3].tolist() == FIRST


def test_rows_behave_like_an_array(sprites):
    x = sprites.test.x
    whole = np.asarray(x[:20])
    assert whole.shape == (20, 1, 64, 64)
    assert (x.ndim, x.dtype, x.shape) == (4, np.uint8, (10_000, 1, 64, 64))
    assert np.array_equal(x[3], whole[3])
    assert np.array_equal(x[np.array([4, 4, 0])], whole[[4, 4, 0]])
    assert np.array_equal(np.asarray(x[5:11][2:4]), whole[7:9])


def test_the_dataset_knows_its_factors(sprites):
    data = known_factors(sprites)
    assert isinstance(data, FactorizedData)
    assert data.factor_sizes == (1, 3, 6, 40, 32, 32)
    assert data.factor_names[-1] == "position_y"
    assert known_factors(data) is data
    with pytest.raises(RequestError, match="points has no known factors of variation; expected data made from"):
        known_factors(from_arrays(np.zeros((20, 2)), name="points"))
    with pytest.raises(RequestError, match="a ndarray has no known factors"):
        known_factors(np.zeros((20, 2)))


def test_sampled_factors_are_uniform_and_independent():
    drawn = Sprites().sample_factors(60_000, np.random.default_rng(0))
    for column, size in zip(drawn.T, SPRITE_FACTORS.sizes, strict=True):
        counts = np.bincount(column, minlength=size)
        assert len(counts) == size
        expected = 60_000 / size
        assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()
    correlation = np.corrcoef(drawn[:, 1:].T) - np.eye(5)
    assert np.abs(correlation).max() < 5 / math.sqrt(60_000)
    assert not np.array_equal(drawn, Sprites().sample_factors(60_000, np.random.default_rng(1)))


def test_a_grid_needs_a_name_for_every_factor():
    with pytest.raises(RequestError, match="named a, a and there are 2"):
        Factors(("a", "a"), (np.arange(2), np.arange(3)))
    with pytest.raises(RequestError, match="at least one class"):
        Factors(("a", "b"), (np.arange(2), np.arange(0)))


# Plain arrays with their factors.

GRID = np.stack(np.meshgrid([10, 20], [1.5, 2.5, 3.5], indexing="ij"), -1).reshape(-1, 2)


def test_arrays_are_found_by_their_factors_in_any_order():
    x = np.arange(6)[:, None] * 1.0
    shuffle = np.random.default_rng(0).permutation(6)
    data = FactorArrays(x[shuffle], GRID[shuffle])
    assert data.factor_sizes == (2, 3)
    assert data.factor_names == ("factor 1", "factor 2")
    assert [v.tolist() for v in data.factors.values] == [[10, 20], [1.5, 2.5, 3.5]]
    every = data.factors.classes(np.arange(6))
    assert data.images(every).ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert np.asarray(FactorRows(data, data.factors)).ravel().tolist() == [0, 1, 2, 3, 4, 5]


def test_missing_and_repeated_combinations():
    x = np.arange(6)[:, None]
    with pytest.raises(RequestError, match=r"1 of 6 combinations of factors have no example, the first 10.0, 2.5"):
        FactorArrays(x[:5], np.delete(GRID, 1, 0))
    with pytest.raises(RequestError, match=r"examples 0 and 6 have the same factors, 10.0, 1.5"):
        FactorArrays(np.arange(7)[:, None], np.concatenate([GRID, GRID[:1]]))
    with pytest.raises(RequestError, match=r"factors have shape \(6,\) for 6 examples"):
        FactorArrays(x, GRID[:, 0])
    with pytest.raises(RequestError, match=r"factors have shape \(5, 2\) for 6 examples"):
        FactorArrays(x, GRID[:5])


def test_the_nearest_combination_stands_in():
    # (1, 3) and (1, 4) are missing. From (1, 4) it is half of a range to (1, 2), and a whole one to (0, 4).
    grid = np.stack(np.meshgrid(np.arange(2), np.arange(5), indexing="ij"), -1).reshape(-1, 2)
    data = FactorArrays(np.arange(8)[:, None], grid[:8], nearest=True)
    assert data.images(np.array([[1, 4], [1, 3]])).tolist() == [[7], [7]]
    assert data.images(grid[:8]).ravel().tolist() == list(range(8))


# The published archive, in its layout but smaller.


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemError('it was unpickled')",))


SIZES = (1, 3, 2, 4, 5, 5)


def archive(path, *, order=None, imgs=None, drop=(), **changed):
    grid = Factors(SPRITE_FACTORS.names, tuple(np.linspace(0, 1, size) for size in SIZES))
    classes = grid.classes(np.arange(grid.combinations) if order is None else order)
    wide = classes * np.array([1, 1, 3, 5, 6, 6])
    fields = {
        "metadata": np.array({"title": Bomb()}, dtype=object),
        "imgs": render(wide)[:, 0] if imgs is None else imgs,
        "latents_classes": classes,
        "latents_values": SPRITE_FACTORS.values_of(wide),
    } | changed
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, field in fields.items():
            if name not in drop:
                with file.open(f"{name}.npy", "w") as stream:
                    np.lib.format.write_array(stream, field, allow_pickle=True)
    return wide


@pytest.mark.parametrize("order", [None, np.random.default_rng(3).permutation(600)])
def test_the_published_archive_is_read_and_its_metadata_never_unpickled(tmp_path, order):
    path = tmp_path / "dsprites.npz"
    wide = archive(path, order=order)
    with pytest.raises(SystemError), zipfile.ZipFile(path) as file, file.open("metadata.npy") as stream:
        np.lib.format.read_array(stream, allow_pickle=True)
    data = load_dsprites(path)
    assert [len(split) for split in data.splits.values()] == [480, 60, 60]
    assert (data.shape, data.levels, data.name) == ((1, 64, 64), 2, "dsprites")
    factors = known_factors(data)
    assert factors.factor_sizes == SIZES
    assert factors.factors.values[3].tolist() == SPRITE_FACTORS.values[3][[0, 5, 10, 15]].tolist()
    classes = wide // np.array([1, 1, 3, 5, 6, 6])
    assert np.array_equal(factors.images(classes), render(wide))
    for split in data.splits.values():
        chosen = factors.factors.classes(split.x.indices[:5])
        assert np.array_equal(split.x[np.arange(5)], factors.images(chosen))
        assert np.array_equal(split.labels[:5], chosen[:, 1])


def test_sizes_that_are_no_multiple_of_eight_are_packed_and_unpacked(tmp_path):
    imgs = np.random.default_rng(0).integers(0, 2, (600, 5, 3), np.uint8)
    archive(tmp_path / "a.npz", imgs=imgs)
    data = known_factors(load_dsprites(tmp_path / "a.npz"))
    assert np.array_equal(data.images(data.factors.classes(np.arange(600)))[:, 0], imgs)


def test_damaged_archives_are_refused_in_one_line(tmp_path):
    path = tmp_path / "a.npz"

    def refused(said):
        with pytest.raises(RequestError, match=said) as caught:
            load_dsprites(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)

    refused("No such file")
    path.write_bytes(b"no archive")
    refused("not a zip file")
    archive(path)
    path.write_bytes(path.read_bytes()[:-2000])
    refused("cannot be read as dSprites")
    archive(path, drop=("imgs",))
    refused("imgs.npy")
    archive(path, latents_classes=np.array({"title": Bomb()}, dtype=object))
    refused("Object arrays cannot be loaded")
    archive(path, imgs=np.full((600, 4, 4), 255, np.uint8))
    refused("imgs hold 255, not only 0 and 1")
    archive(path, imgs=np.zeros((600, 4, 4)))
    refused("imgs are float64, not bytes")
    archive(path, imgs=np.array({"title": Bomb()}, dtype=object))
    refused("cannot be read as dSprites")
    archive(path, imgs=np.zeros((599, 4, 4), np.uint8))
    refused(r"599 images, latents_classes of shape \(600, 6\)")
    archive(path, order=np.arange(600) // 2 * 2)
    refused("expected every combination of factors once")
    archive(path, order=np.r_[0, 0, np.arange(2, 600)])
    refused("expected every combination of factors once")


def test_pickles_are_what_the_archive_has():
    # That the bomb of these tests goes off where something does unpickle it.
    with pytest.raises(SystemError, match="it was unpickled"):
        pickle.loads(pickle.dumps(Bomb()))
