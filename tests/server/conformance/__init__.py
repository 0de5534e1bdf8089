"""HTTP/1.1 and ASGI, read from the RFCs and the specification and tried on raw sockets.

Cases are data (`cases_*.py`), by topic; `harness.py` says what passes. What one exchange cannot
show (order, time, closing, the application's view) has test modules of its own.
"""
