"""What environments, databases, transactions and cursors have in common."""

from __future__ import annotations

from typing import NoReturn


class Handle:
    """Something that is open in this process and lives in native memory: a copy would share it, and free it
    again.
    """

    __slots__ = ()

    def __reduce__(self) -> NoReturn:  # what copy.copy() and pickle ask for
        raise TypeError(
            f"{type(self).__name__} cannot be copied or pickled: it is open in this process only. "
            "Pass the path of the environment, and open that where it is needed"
        )
