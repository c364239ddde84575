#!/bin/sh
# Make the root of a Debian system, for install_matrix.py and cibuildwheel_local.sh:
#
#     make_root.sh SUITE[:ARCHITECTURE] ROOT PACKAGE...
#
# A root for another architecture is only unpacked: what its packages do when they are installed is not needed to run
# a Python, and much of it does not work under emulation.
set -eu

if [ $# -lt 3 ] || [ -e "$2" ]; then
  echo "usage: make_root.sh SUITE[:ARCHITECTURE] ROOT PACKAGE..., where ROOT is not there yet" >&2
  exit 2
fi
if ! command -v debootstrap > /dev/null; then
  echo "make_root.sh: debootstrap is missing; the system's package debootstrap has it" >&2
  exit 1
fi

suite=${1%%:*} root=$2 own=$(dpkg --print-architecture)
case $1 in *:*) architecture=${1#*:} ;; *) architecture=$own ;; esac
shift 2
packages=$(echo "ca-certificates $*" | tr ' ' ,)
if [ "$architecture" = "$own" ]; then
  exec debootstrap --variant=minbase --include="$packages" "$suite" "$root"
fi
debootstrap --arch="$architecture" --foreign --variant=minbase --include="$packages" "$suite" "$root"
for package in "$root"/var/cache/apt/archives/*.deb; do
  dpkg -x "$package" "$root"
done
for file in passwd group; do
  cp "$root/usr/share/base-passwd/$file.master" "$root/etc/$file"
done
rm -rf "$root/debootstrap" "$root/proc" # in a container, the latter is a link to the host's
mkdir -p "$root/dev" "$root/proc"
