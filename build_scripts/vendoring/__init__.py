"""Vendoring by content: third-party sources are pinned by hash and materialised at build time.

`pins` reads `vendor/*.toml`, `archives` and `download` find bytes, `sources` puts checked files into
`vendor/src/`, `diffs` reads patches and `patches` applies them, `prefixes` builds after each, `update`
rewrites a pin. The command is `build_scripts/vendor.py`; the page for people is `docs/vendoring.md`.
"""
