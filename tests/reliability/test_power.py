"""What a sync mode promises for a power cut holds, whatever has reached the disk of what was not synced."""


def test_power_cuts_lose_nothing_that_was_synced(run_mode):
    """Of each sync mode a recording, and images of what the disk may hold (power.py)."""
    run_mode("power", "--trials", "10", "--images", "6")
