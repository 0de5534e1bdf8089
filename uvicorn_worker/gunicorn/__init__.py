"""What the worker class needs of Gunicorn: its settings, hooks, logs and the ways a worker ends.

Only this package and `worker.py` import Gunicorn. Nothing here serves requests.
"""
