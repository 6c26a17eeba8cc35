import pytest
import torch

from vaekit.errors import RequestError
from vaekit.latent import nearest


@pytest.mark.parametrize("cells", [1, 50, 2**22])
def test_neighbours_are_those_of_brute_force(monkeypatch, cells):
    monkeypatch.setattr("vaekit.latent.neighbours._CELLS", cells)
    generator = torch.Generator().manual_seed(0)
    queries, points = torch.randn(4, 2, 3, generator=generator), torch.randn(37, 2, 3, generator=generator)
    for given in (points, points.split(10), iter(points.split(17))):
        rows, distance = nearest(queries, given, 5)
        for query, mine, far in zip(queries, rows, distance, strict=True):
            by_hand = sorted(((float((query - p).square().sum().sqrt()), i) for i, p in enumerate(points)))[:5]
            assert mine.tolist() == [i for _, i in by_hand]
            assert far.tolist() == pytest.approx([d for d, _ in by_hand])


def test_a_point_is_its_own_neighbour_and_of_equal_ones_the_first_is_taken():
    points = torch.tensor([[1e4, 1.0], [1e4, 2.0], [1e4, 1.0]])
    rows, distance = nearest(points, points.split(1), 9)
    assert rows.tolist() == [[0, 2, 1], [1, 0, 2], [0, 2, 1]]
    assert distance[0].tolist() == [0.0, 0.0, 1.0]


def test_no_neighbour_is_refused():
    for queries, points, k in ((torch.zeros(1, 2), torch.zeros(0, 2), 1), (torch.zeros(1, 2), torch.zeros(3, 3), 1)):
        with pytest.raises(RequestError, match="expected"):
            nearest(queries, points, k)
    with pytest.raises(RequestError, match="k is 0"):
        nearest(torch.zeros(1, 2), torch.zeros(3, 2), 0)
