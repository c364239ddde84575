"""Names that the build of a package and its check have to agree on."""

LICENSE_EXPRESSION = "MIT AND OLDAP-2.8 AND Apache-2.0"
"""SPDX expression of a whole package: zLMDB, LMDB, FlatBuffers."""

# Below the metadata folder (`.dist-info`) of a package:
SBOM = "sboms/zlmdb.cdx.json"
"""The bill of materials."""
NOTICE = "licenses/NOTICE"
