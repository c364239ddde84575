"""Calls to the system that fail make the right error, lose nothing, and leave the store usable."""


def test_failing_calls_make_typed_errors(run_mode):
    """Writing, syncing, mapping, lengthening, locking, allocating, starting threads, opening (faults.py)."""
    run_mode("faults", "--count", "60", "--stride", "8", "--failures", "100")
