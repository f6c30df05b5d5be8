"""The engine of data that do not fit a cluster's memory."""

from __future__ import annotations

from typing import Any

from ..exceptions import FitInterrupted
from ..protocol import Extent
from .blocks import Source
from .health import CLUSTER_LOST, describe, wait
from .placing import on_cluster
from .streaming import StreamingEngine


class ClusterStreamingEngine(StreamingEngine):
    """Streams from the source through the workers of one client."""

    def __init__(self, client: Any, source: Source) -> None:
        super().__init__(source)
        self.client = client

    @property
    def extent(self) -> Extent:
        """The shape of the source and the size of the cluster."""
        return on_cluster(self.client, self.source.extent._replace(resident=False))

    def _compute(self, tasks: list[Any]) -> Any:
        futures = self.client.compute(tasks, optimize_graph=False, retries=2)
        try:
            wait(self.client, futures)
            return self.client.gather(futures)
        except CLUSTER_LOST as error:
            raise FitInterrupted(
                f"The cluster lost a sweep: {describe(error)}. Give the workers more memory or make the chunks smaller."
            ) from error
        except BaseException:
            self.client.cancel(futures)
            raise
