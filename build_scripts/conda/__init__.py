"""A conda channel made of what a machine has: interpreters and wheels. `conda_local.py` uses it."""
