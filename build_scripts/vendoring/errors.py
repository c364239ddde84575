"""Errors that name what is wrong and what to do about it."""


class VendorError(Exception):
    """A pin, a source file or a patch is not what it must be."""


class FetchError(VendorError):
    """An origin cannot be reached, or does not hold what was asked of it."""


class PatchError(VendorError):
    """A patch cannot be read or does not apply; the message names the patch, the file and the hunk."""
