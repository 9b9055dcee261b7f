"""Matplotlib, imported whatever MPLBACKEND says: figures are written to files, no window is ever opened."""

import os
import sys


def _import() -> None:
    """Import Matplotlib, which fails where MPLBACKEND names a backend that it does not know."""
    try:
        import matplotlib
    except ValueError:
        named = os.environ.pop("MPLBACKEND", None)
        if named is None:
            raise
        for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[module]  # half imported
        try:
            import matplotlib  # noqa: F401
        finally:
            os.environ["MPLBACKEND"] = named


_import()
