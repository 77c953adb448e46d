"""The real servers of the tests are those of the benchmarks."""

from benchmarks.servers import *  # noqa: F403
