"""What a published package has to be, as rules that a wheel or a conda package keeps or breaks.

`check_artifact.py` runs them all. Each module holds the rules of one subject; a rule yields a `Fault` for
everything that breaks it.
"""
