"""`python -m uvicorn_worker` is the command `uvicorn-worker`."""

from __future__ import annotations

import sys

from uvicorn_worker.cli import main

sys.exit(main())
