"""Tables to learn from: known ones, generated ones, and a user's own; and small pictures of them."""

from core.datasets import known, made  # noqa: F401 (their order is the order of DATASETS)
from core.datasets.base import DATASETS, Dataset, Task
from core.datasets.picture import COLOURS, png, thumbnail
from core.datasets.table import BadTable, Table, from_table

__all__ = ["COLOURS", "DATASETS", "BadTable", "Dataset", "Table", "Task", "from_table", "png", "thumbnail"]
