#!/bin/sh
# Run a command in the root of another Linux system, with root's rights: enter_root.sh ROOT COMMAND...
#
# Its programs find /dev and /proc as they expect. A root for ARM64 works on other machines, too: by emulation.
# All of it is in a mount namespace of its own, and ends with the command.
set -eu

root=$1
if [ -z "${ENTERED_ROOT:-}" ]; then
  export ENTERED_ROOT="$root"
  # The loader tells what a root is for: glibc's is ld-linux-aarch64.so.1, musl's ld-musl-aarch64.so.1.
  if ls "$root"/lib/ld-*-aarch64.so.1 > /dev/null 2>&1 && [ "$(uname -m)" != aarch64 ]; then
    if ! QEMU=$(command -v qemu-aarch64-static); then
      echo "enter_root.sh: qemu-aarch64-static is missing; the system's package qemu-user-static has it" >&2
      exit 1
    fi
    # Without pointer authentication, which costs the emulator most of its time. This is an ARMv8.0-A.
    export QEMU QEMU_CPU=cortex-a57
    exec unshare --user --map-root-user --mount "$0" "$@"
  fi
  exec unshare --mount "$0" "$@"
fi

shift
mount --make-rprivate /
if [ -n "${QEMU:-}" ]; then
  # What the kernel does with programs for ARM64, told by the head of their ELF file, in this namespace alone.
  magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
  printf ':arm64:M::%s:%s:%s:F' "$magic" "$mask" "$QEMU" > /proc/sys/fs/binfmt_misc/register
fi
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
for shared in /etc/resolv.conf /etc/ssl/certs; do # the network is this system's, and pip reads certificates even offline
  if [ -e "$shared" ] && [ -e "$root$shared" ]; then
    mount --bind "$shared" "$root$shared"
  fi
done
unset ENTERED_ROOT QEMU
exec chroot "$root" "$@"
