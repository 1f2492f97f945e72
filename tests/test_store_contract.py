"""Our storage keeps Optuna's contract for storages, in Optuna's own tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.testing.pytest_storages import StorageTestCase

from core.store import Storage, open_storage


class TestStorage(StorageTestCase):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Storage]:
        storage = open_storage(f"sqlite:///{tmp_path}/lab.db")
        yield storage
        storage.engine.dispose()
