"""Delayed values from calls that are written down as they are.

``dask.delayed`` looks through every argument for collections and optimises each that it finds: 0.3 to 1 ms a call,
which for a few dozen tasks is more than a scheduler needs to run them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer


def delayed_calls(name: str, calls: Mapping[Any, Any], dependencies: Sequence[Any]) -> list[Any]:
    """Delayed values of some calls.

    Parameters
    ----------
    name : str
        Unique to these calls.
    calls : dict
        Key -> (function, arguments …), where an argument may be a key, a future, another such call, or a list of these;
        or a future, under its own key: what a cluster holds already is no part of an optimised collection.
    dependencies : sequence of dask collections
        Whose keys are among the arguments.
    """
    graph = HighLevelGraph.from_collections(name, MaterializedLayer(calls), dependencies=dependencies)
    return [Delayed(key, graph, layer=name) for key in calls]


def task(
    function: Callable[..., Any], *values: Any, key: str, worker: str | None = None, inputs: Sequence[Any] = ()
) -> Any:
    """One delayed call that is not retried, and that prefers a worker.

    A value may be Delayed, a future, a call on keys of the ``inputs`` that is to be part of this task, or a list.
    """
    found = list(inputs)

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(part) for part in value]
        if isinstance(value, Delayed):
            found.append(value)
            return value.key
        return value

    call = (function, *map(plain, values))
    where: dict[str, Any] = {} if worker is None else {"workers": [worker], "allow_other_workers": True}
    with dask.annotate(retries=0, **where):
        return delayed_calls(key, {key: call}, found)[0]
