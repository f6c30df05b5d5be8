"""What every test shares: Dask runs in this thread unless a test opens a cluster of its own."""

import dask
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _synchronous():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(42)


@pytest.fixture(scope="session")
def client():
    """A cluster of one worker with two threads, in this process. ``dask.config`` must name no other scheduler."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
