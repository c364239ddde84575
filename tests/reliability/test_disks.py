"""Full disks and limits make errors, and the process lives to tell of them."""


def test_full_disks_raise_no_signal(run_mode):
    """Disks of a few pages, limits of file sizes and of address space (disks.py)."""
    run_mode("disks", "--count", "20")
