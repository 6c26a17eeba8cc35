r"""The variational autoencoder with a free rate."""

__all__ = ["free_bits"]

from typing import TYPE_CHECKING, Any, Literal

from vaekit.recipes.compose import Parts, compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(compose)
def free_bits(
    data: "DataSpec",
    *,
    free: float = 0.5,
    per: Literal["unit", "total"] = "unit",
    groups: int | None = None,
    **shared: Any,
) -> "Plan":
    """Free bits: a rate that costs nothing up to a point, so that units are not switched off early.

    Improving variational inference with inverse autoregressive flow (Kingma et al., 2016), appendix C.8. The free
    rate is in nats, 0.69 of them to a bit.

    Args:
        data: The data's shape and levels.
        free: Nats that are free.
        per: For each unit, or for all of them in total.
        groups: For each of so many groups of units of equal size instead.
    """
    from vaekit.objectives import FreeBits

    share = per if groups is None else groups
    return compose(data, Parts(objective=lambda weight: FreeBits(free, share, beta=weight)), **shared)
