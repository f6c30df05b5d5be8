"""Arrays of any kind -> aligned row blocks. The only place that knows what a user may pass as X, y, weights, offset."""

from __future__ import annotations

import math
import sys
import uuid
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from ..arrays import alike, cast, concat, cut_rows, float_dtype, is_device_array, namespace, numpy_dtype, to_numpy
from ..exceptions import DataError
from ..kernels.rows import by_rows
from ..memory import converted
from ..protocol import Array, Block, Extent

LOCAL_BLOCK_BYTES = 8 * 2**20  # NumPy input is cut into blocks of this size, so that all cores can work


class Source(NamedTuple):
    """Blocks not loaded yet."""

    blocks: list[Any]  # Delayed objects, each yielding one Block
    extent: Extent
    calls: list[tuple[Any, ...]]  # what makes each block: make_block, its number, the keys of X's chunks …
    inputs: tuple[Any, ...]  # … of these collections
    held: dict[Any, Any]  # key -> future of everything they are made of that is on a cluster already
    loaded: bool  # X is

    @property
    def nbytes(self) -> float:
        """Of a dense X; nan where the chunk lengths are unknown. A sparse X weighs less."""
        extent = self.extent
        return extent.n_rows * extent.n_features * extent.itemsize


def is_dask(value: Any) -> bool:
    """Whether ``value`` is a dask array, DataFrame or Series (without importing dask)."""
    return type(value).__module__.partition(".")[0] in ("dask", "dask_expr") and hasattr(value, "__dask_graph__")


def is_dask_frame(value: Any) -> bool:
    """Whether ``value`` is a dask DataFrame or Series."""
    return is_dask(value) and hasattr(value, "to_dask_array")


def as_dask_array(value: Any) -> Any:
    """A dask array from a dask array or frame."""
    if not is_dask_frame(value):
        return value
    with warnings.catch_warnings():  # labels of pandas' own string and category types become objects, as they should
        warnings.filterwarnings("ignore", "Dask currently has limited support for converting pandas extension dtypes")
        return value.to_dask_array()


def frames_as_arrays(X: Any, *vectors: Any) -> tuple[Any, ...]:
    """Dask frames and series as dask arrays; those made of one frame, partition by partition, are read together.

    Each by itself, Dask would read the same files once for each, and might join partitions of the narrow ones: with
    other chunks then.
    """
    chosen = [v for v in vectors if is_dask_frame(v) and v.npartitions == X.npartitions and v.ndim <= 2]
    frames = [X, *chosen]
    if not is_dask_frame(X) or not chosen or len({id(leaf) for f in frames for leaf in _leaves(f)}) > 1:
        return tuple(as_dask_array(v) if is_dask(v) else v for v in (X, *vectors))
    import dask.array as da
    import dask.dataframe as dd
    from dask.base import tokenize

    together = dd.map_partitions(
        _values, *frames, align_dataframes=False, enforce_metadata=False, meta=X._meta
    ).optimize()
    graph, keys = dict(together.__dask_graph__()), together.__dask_keys__()
    name = f"values-{tokenize(keys)}"
    arrays = []
    for j, frame in enumerate(frames):
        meta = np.asarray(frame._meta.to_numpy())
        own = f"{name}-{j}"
        tail = (0,) * (meta.ndim - 1)
        graph.update({(own, i, *tail): (itemgetter(j), key) for i, key in enumerate(keys)})
        chunks = ((math.nan,) * len(keys), *((n,) for n in meta.shape[1:]))
        arrays.append(da.Array(graph, own, chunks, meta=meta))
    found = iter(arrays[1:])
    return arrays[0], *(next(found) if any(v is c for c in chosen) else v for v in vectors)


def _leaves(frame: Any) -> list[Any]:
    """What a frame is read from."""
    return [expression for expression in frame.expr.walk() if not expression.dependencies()]


def _values(*frames: Any) -> tuple[Array, ...]:
    return tuple(np.asarray(frame.to_numpy()) for frame in frames)


def make_block(
    index: int, columns: Sequence[Any], y: Any, weight: Any, offset: Any, targets: str, fold: Any = None
) -> Block:
    """Fuse the pieces of one row chunk; the column chunks of X are joined, and all others go to where X is.

    Raises
    ------
    DataError
        Naming the block, when a piece cannot be read as numbers.
    """
    try:
        X = as_float_matrix(columns)
        return Block(
            index,
            X,
            as_targets(y, targets, X),
            None if weight is None else _as_vector(weight, "sample_weight", X),
            None if offset is None else _as_vector(offset, "offset", X),
            None if fold is None else np.ascontiguousarray(fold),
        )
    except (ValueError, TypeError) as error:
        raise DataError(f"{error} (block {index})") from error


def make_pair(index: int, columns: Sequence[Any], y: Any, weight: Any, offset: Any, targets: str, fold: Any) -> Block:
    """Predictions, true values and weights of one row chunk, in main memory and otherwise as they are.

    Raises
    ------
    DataError
        Naming the block, when they are not as many.
    """
    X = to_numpy(columns[0]) if is_device_array(columns[0]) else np.asarray(columns[0])
    parts = [v if v is None else to_numpy(v) if is_device_array(v) else np.asarray(v) for v in (y, weight)]
    lengths = [len(v) for v in (parts[0], X, parts[1]) if v is not None]
    if len(set(lengths)) > 1:
        raise DataError(f"Found input variables with inconsistent numbers of samples: {lengths} (block {index})")
    return Block(index, X, parts[0], parts[1], offset, fold)


def keys_of(call: tuple[Any, ...]) -> list[Any]:
    """What one of a source's calls is made of: keys, or, of folds that the call itself makes, tasks."""
    _, _, columns, y, weight, offset, _, fold = call
    return [*columns, *(piece for piece in (y, weight, offset, fold) if piece is not None)]


def made_of(call: tuple[Any, ...], values: dict[Any, Any]) -> Block:
    """The block that such a call makes, of the values of its keys."""
    make, index, columns, *vectors, targets, fold = call
    pieces = [None if key is None else values[key] for key in (*vectors, fold)]
    block: Block = make(index, [values[key] for key in columns], *pieces[:-1], targets, pieces[-1])
    return block


def as_float_matrix(columns: Sequence[Any]) -> Any:
    """One C-contiguous float matrix, or a canonical CSR array, from the column chunks of X; in their library."""
    if any(is_device_array(c) for c in columns):
        return _as_device_matrix(columns[0] if len(columns) == 1 else concat(columns, axis=1))
    if any(sp.issparse(c) for c in columns):
        X = sp.csr_array(columns[0] if len(columns) == 1 else sp.hstack(columns, format="csr"))
        X = X.astype(float_dtype(X.dtype), copy=False)
        X.sum_duplicates()
        return X
    X = _numbers(columns[0] if len(columns) == 1 else np.concatenate([np.asarray(c) for c in columns], axis=1))
    if X.dtype.kind == "c":
        raise ValueError("Complex data not supported")
    return by_rows(X.astype(float_dtype(X.dtype), copy=False))


def _as_device_matrix(X: Any) -> Any:
    check_two_dimensions(X)
    dtype = numpy_dtype(X)
    if dtype.kind == "c":
        raise ValueError("Complex data not supported")
    contiguous = getattr(namespace(X), "ascontiguousarray", None)  # CuPy's, which knows orders
    X = cast(X, float_dtype(dtype))
    return X if contiguous is None else contiguous(X)


def _numbers(values: Any) -> Any:
    """An array; in one of objects, pandas' NA becomes NaN."""
    if is_device_array(values):
        return values
    array = np.asarray(values)
    if array.dtype.kind != "O":
        return array
    return np.frompyfunc(lambda v: math.nan if type(v).__name__ == "NAType" else v, 1, 1)(array)


def as_targets(y: Any, targets: str, X: Any) -> Any:
    """y as float64 for a regressor ("numbers"; "columns": it may have several), as it is for a classifier; where X is,
    unless it holds labels that are no numbers."""
    numeric = targets != "labels"
    y = _numbers(y) if numeric or is_device_array(y) else np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 and not (targets == "columns" and y.ndim == 2):
        raise ValueError(f"y should be a 1d array, got an array of shape {y.shape} instead.")
    kind = numpy_dtype(y).kind
    if kind == "c":
        raise ValueError("Complex data not supported")
    if numeric:
        return _placed(y, np.dtype(np.float64), X)
    return alike(y, X) if kind in "biuf" else y


def _placed(values: Any, dtype: np.dtype, X: Any) -> Any:
    """The numbers in this precision where X is."""
    if is_device_array(values) or is_device_array(X):
        return cast(alike(values, X), dtype)
    return converted(values, dtype)


def _as_vector(values: Any, name: str, X: Any) -> Any:
    vector = _numbers(values)
    if vector.ndim == 2 and vector.shape[1] == 1:
        vector = vector[:, 0]
    if vector.ndim != 1:
        raise ValueError(f"{name} should be a 1d array, got an array of shape {vector.shape} instead.")
    return _placed(vector, float_dtype(numpy_dtype(vector)), X)


def device_block(X: Any, y: Any, weight: Any, offset: Any, targets: str) -> Block:
    """Data of which X is on a device, all brought there as one block.

    Raises
    ------
    ValueError
        What cannot be read as numbers.
    """
    check_two_dimensions(X)
    check_features(X)
    return make_block(0, [X], y, weight, offset, targets)


def local_blocks(
    X: Any, y: Array, weight: Array | None, offset: Array | None, fold: Array | None = None
) -> list[Block]:
    """Blocks of data that are in memory already; the cut depends on the shape of X alone."""
    cuts = row_cuts(X)
    return [
        Block(
            i,
            X if len(cuts) == 1 else cut_rows(X, cut),
            y if len(cuts) == 1 else y[cut],
            None if weight is None else weight[cut],
            None if offset is None else offset[cut],
            None if fold is None else fold[cut],
        )
        for i, cut in enumerate(cuts)
    ]


def row_cuts(X: Any) -> list[slice]:
    """How the rows of an array in memory are cut; on a device, which works on all rows together, not at all."""
    n = X.shape[0]
    if is_device_array(X):
        return [slice(0, n)]
    size = X.nbytes if isinstance(X, np.ndarray) else X.data.nbytes + X.indices.nbytes
    rows = max(1, math.ceil(n / max(1, math.ceil(size / LOCAL_BLOCK_BYTES))))
    return [slice(start, start + rows) for start in range(0, n, rows)] or [slice(0, 0)]


def row_count(X: Any) -> float:
    """The rows of an array of any kind, nothing loaded; nan where that is not known.

    Raises
    ------
    ValueError
        Not two dimensions.
    """
    X = as_dask_array(X) if is_dask(X) else X
    check_two_dimensions(X)
    return float(X.shape[0])


def check_two_dimensions(X: Any) -> None:
    """Raise in scikit-learn's words where X is no matrix."""
    if X.ndim != 2:
        raise ValueError(f"Expected 2D array, got {X.ndim}D array instead. Reshape your data with X.reshape(-1, 1).")


def check_features(X: Any) -> None:
    """Raise in scikit-learn's words where X has no column."""
    if X.shape[1] == 0:
        raise ValueError("Found array with 0 feature(s) (shape=(n, 0)) while a minimum of 1 is required.")


def dask_blocks(
    X: Any, y: Any, weight: Any, offset: Any, *, targets: str, fold: Any = None, memory: float = math.inf
) -> Source:
    """Delayed blocks of a dask X; y, weights, offset and folds may be dask or in memory and chunked in any way.

    ``memory``: bytes of X that may be loaded to find out how long its chunks are, where nothing else will do.

    Raises
    ------
    ValueError
        When known lengths disagree.
    """
    from dask.core import flatten

    from .graph import delayed_calls

    X, y, weight, offset = frames_as_arrays(X, y, weight, offset)
    check_two_dimensions(X)
    check_features(X)
    if X.dtype.kind == "c":
        raise ValueError("Complex data not supported")
    vectors = {"y": y, "sample_weight": weight, "offset": offset, "fold": fold}
    given: dict[str, Any] = {
        name: as_dask_array(v) if is_dask(v) else to_numpy(v) if is_device_array(v) else np.asarray(v)
        for name, v in vectors.items()
        if v is not None
    }
    several = targets in ("columns", "pairs")
    if several and given["y"].ndim == 2 and not isinstance(given["y"], np.ndarray):
        given["y"] = given["y"].rechunk({1: -1})
    X, given = _align(X, given, columns=several, memory=math.inf if targets == "pairs" else memory)
    names = list(given)
    held = {future.key: future for future in futures_in([X, *given.values()])}
    loaded = bool(futures_in([X]))
    X, *rest = _optimised([X, *given.values()])
    given = dict(zip(names, rest, strict=True))
    chunks = {name: list(flatten(v.__dask_keys__())) for name, v in {"X": X, **given}.items()}
    width = X.numblocks[1]

    # Numbers of folds are made by the tasks that make the blocks: for so little a task of its own costs a round.
    made = given["fold"].__dask_graph__() if "fold" in given else {}

    def piece(name: str, i: int) -> Any:
        if name not in chunks:
            return None
        key = chunks[name][i]
        return made[key] if name == "fold" and key not in held and key in made else key

    name = f"block-{uuid.uuid4().hex[:10]}"
    calls = {
        f"{name}-{i}": (
            make_pair if targets == "pairs" else make_block,
            i,
            chunks["X"][i * width : (i + 1) * width],
            *(piece(part, i) for part in ("y", "sample_weight", "offset")),
            targets,
            piece("fold", i),
        )
        for i in range(X.numblocks[0])
    }
    inputs = (X, *given.values(), *delayed_calls(f"held-{name}", held, ())[:1])  # one has the graph of all
    return Source(delayed_calls(name, calls, inputs), extent_of(X), list(calls.values()), inputs, held, loaded)


def _optimised(arrays: list[Any]) -> list[Any]:
    """The same arrays on one graph, optimised as one: ``dask.optimize`` gives each its own copy of what they share, so
    that a chunk that X and y are both made of would be loaded twice.

    The tasks get names of their own. How tasks are fused depends on all that a graph holds, so that two fits at the
    same time would ask the scheduler for different tasks of one name, and a scheduler in that state breaks.
    """
    import dask.array as da
    from dask.array.optimization import optimize
    from dask.core import flatten
    from dask.highlevelgraph import HighLevelGraph

    merged = HighLevelGraph.merge(*(array.__dask_graph__() for array in arrays))
    keys = {array.name: list(flatten(array.__dask_keys__())) for array in arrays}
    tasks = dict(optimize(merged, list(flatten(keys.values()))))
    mark = uuid.uuid4().hex
    # What is on a cluster is in no graph, and keeps its name.
    stay = {key for chunks in keys.values() if not all(key in tasks for key in chunks) for key in chunks}
    names = {key: _marked(key, mark) for key in tasks if key not in stay}
    tasks = {names.get(key, key): task.substitute(names, key=names.get(key)) for key, task in tasks.items()}
    own = {name: _marked(name, mark) if chunks and chunks[0] in names else name for name, chunks in keys.items()}
    first, *others = own.values()
    layers = {first: tasks} | {name: {} for name in others}  # every array's name must be that of a layer
    graph = HighLevelGraph(layers, {first: set()} | {name: {first} for name in others})
    return [da.Array(graph, own[array.name], array.chunks, meta=array._meta) for array in arrays]


def _marked(key: Any, mark: str) -> Any:
    """The key, or the name of an array, with a mark."""
    return (f"{key[0]}-{mark}", *key[1:]) if isinstance(key, tuple) else f"{key}-{mark}"


def extent_of(X: Any) -> Extent:
    """The shape of an array of any kind, nothing loaded."""
    if is_dask(X):
        X = as_dask_array(X)
        sparse, blocks = sp.issparse(X._meta), X.numblocks[0]
        density = math.nan if sparse else 1.0
    else:
        sparse, blocks = sp.issparse(X), len(row_cuts(X))
        density = X.nnz / max(X.shape[0] * X.shape[1], 1) if sparse else 1.0
    dtype = X.dtype if is_dask(X) else numpy_dtype(X)
    return Extent(float(X.shape[0]), int(X.shape[1]), blocks, float_dtype(dtype).itemsize, sparse, density)


def _align(X: Any, given: dict[str, Any], *, columns: bool, memory: float) -> tuple[Any, dict[str, Any]]:
    """Give every vector the row chunks of X. Chunk lengths are computed only where nothing else will do.

    ``columns``: y may have several.
    """
    import dask.array as da

    def known(a: Any) -> bool:
        return not any(math.isnan(c) for c in a.chunks[0])

    lengths = {"X": int(sum(X.chunks[0]))} if known(X) else {}
    for name, v in given.items():
        if v.ndim == 2 and v.shape[1] == 1:
            given[name] = v = v[:, 0]
        if v.ndim != 1 and not (columns and name == "y" and v.ndim == 2):
            raise ValueError(f"{name} should be a 1d array, got an array of shape {v.shape} instead.")
        if isinstance(v, np.ndarray) or known(v):
            lengths[name] = int(v.shape[0])
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {list(lengths.values())}")

    def settled(v: Any) -> bool:  # lengths that cannot be compared here are compared inside the block's task
        if isinstance(v, np.ndarray):
            return known(X) or X.numblocks[0] == 1
        return (known(X) and known(v)) or v.numblocks[0] == X.numblocks[0]

    if not all(settled(v) for v in given.values()):
        if not known(X):
            if memory == math.inf or _weight(X) <= memory:
                X = X.persist()
            X.compute_chunk_sizes()
        for name, v in given.items():
            if not isinstance(v, np.ndarray) and not known(v):
                given[name] = v = v.persist()
                v.compute_chunk_sizes()
        return _align(X, given, columns=columns, memory=memory)
    for name, v in given.items():
        if isinstance(v, np.ndarray):
            rows = X.chunks[0] if known(X) else (len(v),)
            given[name] = da.from_array(v, chunks=(rows, *((n,) for n in v.shape[1:])))
        elif known(X) and known(v) and v.chunks[0] != X.chunks[0]:
            given[name] = v.rechunk({0: X.chunks[0]})
    return X, given


def _weight(X: Any) -> float:
    """Bytes of X, if all chunks weigh what the first does."""
    first = X.blocks[0].compute()
    nbytes = first.nbytes if isinstance(first, np.ndarray) else first.data.nbytes
    return float(nbytes * X.numblocks[0])


def map_row_chunks(function: Callable[..., Array], X: Any, offset: Any, *, width: int | None, dtype: Any) -> Any:
    """The lazy dask array of ``function(rows of X, offset)``: (n,) for ``width`` None, else (n, width).

    ``dtype`` None: that of X. Raises ValueError for an offset in memory beside an X of unknown chunk lengths.
    """
    import dask.array as da

    X = as_dask_array(X)
    dtype = float_dtype(X.dtype) if dtype is None else dtype
    arrays = [X, "ij"]
    if offset is not None:
        if not is_dask(offset):
            if np.isnan(X.chunks[0]).any():
                raise ValueError(
                    "The chunk lengths of X are unknown, so an offset in memory cannot be cut to fit them: pass the "
                    "offset as a dask array with the same chunks, or call X.compute_chunk_sizes() first."
                )
            offset = to_numpy(offset) if is_device_array(offset) else np.asarray(offset)
            offset = da.from_array(offset, chunks=(X.chunks[0],))
        arrays += [as_dask_array(offset), "i"]
    return da.blockwise(
        partial(_on_rows, function),
        "i" if width is None else "ik",
        *arrays,
        new_axes=None if width is None else {"k": width},
        concatenate=False,
        dtype=dtype,
        meta=_meta(X, (0,) if width is None else (0, 0), np.dtype(dtype)),
    )


def _meta(X: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """An empty array of the kind that comes of the chunks of X: of theirs, if that can hold it."""
    empty = np.empty(shape, dtype=dtype)
    return alike(empty, X._meta) if dtype.kind in "biuf" else empty


def _on_rows(function: Callable[..., Any], columns: list[Any], offset: Any = None) -> Any:
    X = as_float_matrix(columns)
    return function(X, None if offset is None else alike(offset, X))


def futures_in(collections: Sequence[Any]) -> list[Any]:
    """The futures that dask collections are made of; empty where distributed is not in use."""
    if "distributed" not in sys.modules:
        return []
    from distributed import futures_of

    return list(futures_of(list(collections)))
