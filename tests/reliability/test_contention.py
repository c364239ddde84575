"""Many that use one store at the same time get on, and see what belongs together."""


def test_writers_and_readers_that_fork_copy_and_resize_get_on(run_mode):
    """Eight writers and eight readers, threads of one process or processes of their own (contention.py)."""
    run_mode("contention", "--count", "4")
