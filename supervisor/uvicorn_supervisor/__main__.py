"""`python -m uvicorn_supervisor APP` is the command `uvicorn-supervisor APP`."""

import sys

from uvicorn_supervisor.cli import main

if __name__ == "__main__":
    sys.exit(main())
