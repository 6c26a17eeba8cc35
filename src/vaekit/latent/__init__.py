r"""Moving about in latent space: paths, attributes, traversals, surfaces, neighbours. All at posterior means."""

from vaekit.latent.attributes import analogy, attribute_vector, move, orthogonalise
from vaekit.latent.manifold import PrincipalDirections, manifold_grid, principal_directions, principal_grid
from vaekit.latent.means import Decoded, mean_codes, mean_data, vector_prior
from vaekit.latent.neighbours import Neighbours, nearest
from vaekit.latent.paths import interpolate, linear_path, spherical_path
from vaekit.latent.quantiles import prior_quantiles
from vaekit.latent.strokes import MEASURES, slant, thickness, width
from vaekit.latent.styles import style_grid
from vaekit.latent.traversal import traverse

__all__ = [
    "MEASURES",
    "Decoded",
    "Neighbours",
    "PrincipalDirections",
    "analogy",
    "attribute_vector",
    "interpolate",
    "linear_path",
    "manifold_grid",
    "mean_codes",
    "mean_data",
    "move",
    "nearest",
    "orthogonalise",
    "principal_directions",
    "principal_grid",
    "prior_quantiles",
    "slant",
    "spherical_path",
    "style_grid",
    "thickness",
    "traverse",
    "vector_prior",
    "width",
]
