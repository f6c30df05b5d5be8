"""Clusters for tests: of processes, where bits and faults matter."""

from distributed import LocalCluster


def cluster(n_workers, threads, **options):
    options = {"processes": True, "dashboard_address": ":0", "memory_limit": "2GiB"} | options
    return LocalCluster(n_workers=n_workers, threads_per_worker=threads, **options)
