"""The command line, as its own tests run it."""

from tests.server.test_cli import corpus, mfn

__all__ = ["corpus", "mfn"]
