"""Files and records from anywhere make typed errors at worst."""


def test_damaged_files_crash_nothing(run_mode):
    run_mode("files", "--count", "30")


def test_damaged_records_make_typed_errors(run_mode):
    """Of every kind of map: keys, values, index records and the descriptions of slots (records.py)."""
    run_mode("records", "--trials", "30")
