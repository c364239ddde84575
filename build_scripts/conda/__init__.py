"""The conda package of zLMDB, built with rattler's libraries. `conda_package.py` uses it."""
