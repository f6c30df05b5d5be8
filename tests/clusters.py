"""Clusters for tests: of processes, where bits and faults matter."""

import inspect

import dask
from distributed import Client, LocalCluster


def cluster(n_workers, threads, **options):
    options = {"processes": True, "dashboard_address": ":0", "memory_limit": "2GiB"} | options
    return LocalCluster(n_workers=n_workers, threads_per_worker=threads, **options)


def watch_gather(patch):
    """Bytes of what comes to any client, gather by gather: a list that grows."""
    sizes = []
    gather = Client.gather

    async def later(coming):
        values = await coming
        sizes.append(dask.sizeof.sizeof(values))
        return values

    def weighed(self, futures, *args, **kwargs):
        values = gather(self, futures, *args, **kwargs)
        if inspect.isawaitable(values):
            return later(values)
        sizes.append(dask.sizeof.sizeof(values))
        return values

    patch.setattr(Client, "gather", weighed)
    return sizes
