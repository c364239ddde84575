"""Names that the build of a package and its check have to agree on."""

from requirements import PROJECT

LICENSE_EXPRESSION: str = PROJECT["project"]["license"]
"""SPDX expression of a whole package: zLMDB, LMDB, FlatBuffers."""

# Below the metadata folder (`.dist-info`) of a package:
SBOM = "sboms/zlmdb.cdx.json"
"""The bill of materials."""
NOTICE = "licenses/NOTICE"
