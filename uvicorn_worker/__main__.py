"""`python -m uvicorn_worker` is the command `uvicorn-worker`."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Run the command and return its exit code."""
    # Nothing of what is loaded now will be garbage, and to look for it would be a twentieth of a
    # start: the command switches this on again before it loads the application.
    gc.disable()
    from uvicorn_worker.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(main())
