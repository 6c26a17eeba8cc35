import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from vaekit.figures.strips import frames, strips

TITLE = "Each unit over the quantiles of its prior, the others at their medians, vae on mnist"


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 12)])
def test_a_title_is_in_the_picture_however_narrow_that_is(rows, columns):
    figure = strips(np.zeros((rows, columns, 1, 8, 8)), columns=[str(j) for j in range(columns)], title=TITLE)
    renderer = FigureCanvasAgg(figure).get_renderer()
    title = figure.texts[0].get_window_extent(renderer)
    assert title.x1 <= figure.bbox.x1
    assert title.y0 >= figure.axes[0].get_tightbbox(renderer).y1  # and above what it is the title of
    assert figure.texts[0].get_text().split() == TITLE.split()


def test_frames_are_of_one_size_and_say_which_they_are():
    pictures = list(frames(np.zeros((1, 3, 1, 28, 28)), columns=["1%", "50%", "99%"], title=TITLE))
    assert len({picture.shape for picture in pictures}) == 1
    caption = [picture != pictures[0] for picture in pictures]
    assert not caption[0].any()
    assert caption[1].any()
    assert caption[2].any()
    rows, across = np.nonzero(caption[1].any(2))
    assert across.max() < 100  # the caption has its own place at the left, whatever the title's length
    assert pictures[0][: rows.min()].min() < 100  # below the title
