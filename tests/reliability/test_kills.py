"""A process that is killed takes nothing with it that was acknowledged, and leaves no lock behind."""


def test_killed_processes_lose_nothing(run_mode):
    """One writer, several, first openers, waiting ones, growing maps, copies; with indexes (kills.py)."""
    run_mode("kills", "--count", "120")
