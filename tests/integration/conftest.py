"""Clusters for a module, since starting one takes seconds, and what many tests ask of them."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.volumes import Volumes
from tests.support.cluster import Cluster


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a short path: those of unix sockets are limited to 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="shorthorn-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    """Three nodes of 1 GiB each."""
    with Cluster(folder / "data", nodes=3, disk_size="1GiB") as cluster:
        yield cluster


@pytest.fixture
def volumes(cluster: Cluster) -> Iterator[Volumes]:
    """Volumes of one test; deleted after it."""
    volumes = Volumes(cluster)
    yield volumes
    volumes.delete()
