r"""Commands on a run of poses draw stick figures, and plots of numbers where the data that say so are gone."""

import numpy as np
import pytest

import vaekit
from vaekit import commands
from vaekit.errors import RequestError
from vaekit.figures import sample_grid, save
from vaekit.figures.motion import pose_strip
from vaekit.kinds import Examples, Poses, kind_of_run
from vaekit.runs import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("poses") / "run"
    options = {"hidden": (8,), "latent_dim": 2, "epochs": 1, "batch_size": 16, "nll_samples": 0, "progress": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vaekit.report.run.report_run", lambda *arguments: None)
        return vaekit.train("vae", "clips", data_options={"clips": ["walk"]}, out=out, **options).directory


def test_samples_are_stick_figures(run, tmp_path):
    picture = commands.sample(str(run), n=5, out=str(tmp_path / "a.png"))
    x = np.load(commands.sample(str(run), n=5, out=str(tmp_path / "a.npy")))
    poses = Run(run).data.poses
    names, bones = poses.skeleton.names, poses.skeleton.bones
    drawn = save(pose_strip(poses.joints(x), bones, names=names, up=poses.up), tmp_path / "b.png")
    assert picture.read_bytes() == drawn.read_bytes()


@pytest.mark.parametrize("ending", [".png", ".gif"])
def test_moves_are_of_stick_figures(run, tmp_path, ending):
    kept = {}
    with pytest.MonkeyPatch.context() as patch:
        whole = Poses.tiles
        patch.setattr(Poses, "tiles", lambda self, x: kept.update(shape=x.shape) or whole(self, x))
        path = commands.interpolate(str(run), points=(0, 3), steps=3, out=str(tmp_path / f"a{ending}"))
    assert path.stat().st_size > 1000
    assert kept["shape"][:2] == ((1, 5) if ending == ".png" else (1, 3))


def test_a_run_without_its_data_is_still_drawn(run, tmp_path, monkeypatch):
    def gone(self):
        raise RequestError("the data are gone")

    monkeypatch.setattr(Run, "data", property(gone))
    assert type(kind_of_run(Run(run))) is Examples
    picture = commands.sample(str(run), n=5, out=str(tmp_path / "a.png"))
    x = np.load(commands.sample(str(run), n=5, out=str(tmp_path / "a.npy")))
    assert picture.read_bytes() == save(sample_grid(x), tmp_path / "b.png").read_bytes()
