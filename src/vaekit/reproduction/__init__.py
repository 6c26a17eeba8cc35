r"""Tables of results that one command produces: our numbers beside the published ones."""

from vaekit.reproduction.reproduce import reproduce
from vaekit.reproduction.tables import TABLES, Row, Table

__all__ = ["TABLES", "Row", "Table", "reproduce"]
