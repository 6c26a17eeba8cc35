r"""Several runs in one table: what the noise explains, and what no table may mix."""

from vaekit.comparison.compare import compare
from vaekit.comparison.table import Cell, Column, Comparison, Row

__all__ = ["Cell", "Column", "Comparison", "Row", "compare"]
