"""Benchmarks: `python -m benchmarks` lists them, `python -m benchmarks NAME [--quick] [--json]` runs one.

Every module here but `harness` is a benchmark. Its docstring's first line is its description, and it defines

    def run(quick: bool) -> Result

(with `peer: str | None = None` where it can compare with a package of another environment), which measures and returns;
the harness prints. A comparison is measured in one process, in interleaved pairs, so that what else the machine does
falls on both sides (`harness.paired`); one with a package whose pins clash with ours, by two processes that take turns
(`harness.against`, `peers/`).
"""
