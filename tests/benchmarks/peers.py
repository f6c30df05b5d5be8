"""Which peers can run here, and Spark in a process of its own."""

from __future__ import annotations

import importlib.util
import multiprocessing
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

JAVA = 17
SPARK_MEMORY = "4g"


def missing(package: str) -> str:
    """Why a peer cannot run, or nothing."""
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    if package == "pyspark" and (java_version() or 0) < JAVA:
        return f"Java {JAVA} is not installed"
    return ""


def java_version() -> int | None:
    """The major version of the Java on the path."""
    java = shutil.which("java")
    if java is None:
        return None
    found = re.search(r'version "(\d+)', subprocess.run([java, "-version"], capture_output=True, text=True).stderr)
    return int(found[1]) if found else None


class Fitted(NamedTuple):
    """What any peer found, by scikit-learn's names."""

    coef_: np.ndarray
    intercept_: Any


class Spark:
    """MLlib in another process that holds the data: a fit is a question through a pipe."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe

    def logistic(self, **params: Any) -> Fitted:
        """``pyspark.ml.classification.LogisticRegression`` with these parameters."""
        self.pipe.send(params)
        answer = self.pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return Fitted(*answer)


@contextmanager
def spark(X: np.ndarray, y: np.ndarray, cores: int = 2) -> Iterator[Spark]:
    """A Spark of its own JVM whose cached DataFrame holds the rows of (X, y) as vectors."""
    import pandas as pd

    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])]).assign(label=y.astype(np.float64))
        frame.to_parquet(Path(folder) / "rows.parquet")
        del frame
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there, folder, cores), daemon=True)
        process.start()
        there.close()
        try:
            ready = here.recv()  # EOFError: the process is gone
            if isinstance(ready, Exception):
                raise ready
            yield Spark(here)
        finally:
            here.close()
            process.join(60)
            process.terminate()


def serve(pipe: Any, folder: str, cores: int) -> None:
    """The other process: reads and caches the rows, then fits until the pipe is closed."""
    try:
        session, rows = cached(folder, cores)
        pipe.send("ready")
    except Exception as error:
        pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))
        return
    from pyspark.ml.classification import LogisticRegression

    while True:
        try:
            params = pipe.recv()
        except EOFError:
            break
        try:
            model = LogisticRegression(featuresCol="features", labelCol="label", **params).fit(rows)
            pipe.send((model.coefficients.toArray(), model.intercept))
        except Exception as error:
            pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))
    session.stop()


def cached(folder: str, cores: int) -> tuple[Any, Any]:
    """The session and the DataFrame of vectors, in memory."""
    from pyspark.ml.feature import VectorAssembler
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.driver.memory", SPARK_MEMORY)
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.local.dir", folder)
        .getOrCreate()
    )
    table = session.read.parquet(f"{folder}/rows.parquet")
    assemble = VectorAssembler(inputCols=[name for name in table.columns if name != "label"], outputCol="features")
    rows = assemble.transform(table).select("features", "label").repartition(2 * cores).cache()
    rows.count()
    return session, rows
