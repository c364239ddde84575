"""Materialise, verify, show and update the vendored sources: `python build_scripts/vendor.py --help`."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    from vendoring.errors import VendorError
    from vendoring.files import write_file
    from vendoring.pins import ROOT, Pin, Vendor
    from vendoring.prefixes import ENGINES, build_prefixes
    from vendoring.sources import patched_tree, sync, verify
except ModuleNotFoundError as error:
    sys.exit(f"vendor.py: the package {error.name} is missing; python -m pip install '.[dev]' brings it")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Return its exit status: 0, or 1 after a message on stderr."""
    options = _parser().parse_args(arguments)
    try:
        options.run(Vendor(options.root), options)
    except (VendorError, OSError) as error:
        print(f"vendor.py: {error}", file=sys.stderr)
        return 1
    return 0


def _sync(vendor: Vendor, options: argparse.Namespace) -> None:
    pins = vendor.pins(options.components)
    sync(vendor, pins)
    for pin in pins:
        tree = patched_tree(vendor, pin)
        if options.patched:
            for file, content in tree.items():
                write_file(options.patched / pin.name / file, content)


def _verify(vendor: Vendor, options: argparse.Namespace) -> None:
    for pin in vendor.pins(options.components):
        verify(vendor, pin)
        print(f"{pin.name} {pin.version}: {len(pin.files)} files as pinned; {_patches(pin)} apply as pinned")


def _show(vendor: Vendor, options: argparse.Namespace) -> None:
    for pin in vendor.pins(options.components):
        print(f"{pin.name} {pin.version}  {pin.license}  {pin.homepage}")
        print(f"  {len(pin.files)} files, {_patches(pin)}")
        for origin in pin.origins:
            print(f"  from {origin}")
        for number, patch in enumerate([*pin.series, *pin.own], start=1):
            print(f"  {number:4} {patch}")


def _update(vendor: Vendor, options: argparse.Namespace) -> None:
    # tomlkit, which keeps the comments of a pin, is a requirement of developers and not of the build.
    from vendoring.update import Change, update

    change = Change(options.version, dict(options.sdist), options.archive)
    pin = update(vendor, options.component, change, print)
    print(f"{pin.name} {pin.version}: {len(pin.files)} files pinned; {_patches(pin)} apply")


def _prefixes(vendor: Vendor, options: argparse.Namespace) -> None:
    compiler = shlex.split(os.environ.get("CC") or "cc")
    for pin in vendor.pins(options.components or ENGINES):
        if pin.name not in ENGINES:
            raise VendorError(f"{pin.name} is not built with patches of our own; {' and '.join(ENGINES)} are")
        build_prefixes(vendor, pin, compiler, print, quick=options.quick)


def _patches(pin: Pin) -> str:
    return f"{len(pin.series)} upstream patches and {len(pin.own)} of our own"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vendor.py", description="The vendored sources of zLMDB.")
    parser.add_argument("--root", type=Path, default=ROOT, help="the project's root, if not this one")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    some = argparse.ArgumentParser(add_help=False)
    some.add_argument("components", nargs="*", help="names of components; all by default")

    command = commands.add_parser(
        "sync", parents=[some], help="put every pinned file in its place, and check it"
    )
    command.add_argument("--patched", type=Path, metavar="FOLDER", help="also write the patched files here")
    command.set_defaults(run=_sync)

    command = commands.add_parser("verify", parents=[some], help="check files and patches against the pins")
    command.set_defaults(run=_verify)

    command = commands.add_parser(
        "prefixes", parents=[some], help="compile the engines after each of our own patches"
    )
    command.add_argument("--quick", action="store_true", help="check the sources only, and make no code")
    command.set_defaults(run=_prefixes)

    command = commands.add_parser("show", parents=[some], help="print what is pinned, and from where")
    command.set_defaults(run=_show)

    command = commands.add_parser("update", help="rewrite a pin; without options, record our own patches")
    command.add_argument("component")
    command.add_argument("--version", default="", help="the component's new version")
    command.add_argument(
        "--sdist",
        type=_requirement,
        action="append",
        default=[],
        metavar="NAME==VERSION",
        help="a new release of a package whose sdist holds the component",
    )
    command.add_argument(
        "--archive", type=Path, metavar="FILE", help="a downloaded copy of the upstream archive"
    )
    command.set_defaults(run=_update)
    return parser


def _requirement(text: str) -> tuple[str, str]:
    name, separator, version = text.partition("==")
    if not (name and separator and version):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME==VERSION")
    return name, version


if __name__ == "__main__":
    sys.exit(main())
