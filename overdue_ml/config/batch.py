"""How a scoring run is carried out: never what comes out of it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from overdue_ml.config.settings import _Settings


class BatchConfig(_Settings):
    """``configs/batch.yaml``: where and in what portions a book is scored. No value changes a result.

    Parameters
    ----------
    customers_per_bucket : int
        Customers that are scored together where the records are not in buckets yet.
    workers : int
        Processes; 1 scores in this one.
    threads : int or None
        Threads of each process; None shares the cores among them. With two or more a process that scores
        alone has two buckets at a time.
    engine : {'local', 'dask', 'spark'}
        What runs the processes.
    address : str or None
        Dask's scheduler (``tcp://host:port``) or Spark's master; None starts one on this machine. Not of
        ``local``.
    max_memory_mb : int or None
        A process that needed more at any moment stops the run; finished buckets stay.
    wait_seconds : int or None
        On Dask or Spark: a run in which no bucket is finished for so long stops; finished buckets stay. None
        waits without end, also for a cluster without a free worker.
    """

    customers_per_bucket: int = Field(default=50_000, ge=1)
    workers: int = Field(default=1, ge=1, le=4096)
    threads: int | None = Field(default=None, ge=1, le=4096)
    engine: Literal["local", "dask", "spark"] = "local"
    address: str | None = None
    max_memory_mb: int | None = Field(default=None, ge=1)
    wait_seconds: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _address_is_of_an_engine(self) -> Self:
        if self.address is not None and self.engine == "local":
            raise ValueError("an 'address' is one of the 'engine' dask or spark; 'local' has none")
        return self
