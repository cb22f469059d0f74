#!/bin/sh
# Performs the steps of docker/Dockerfile where there is no container engine: each stage in a chroot of its own, on top of
# a Debian made by debootstrap, then a look at the result as it would run (not root, read-only root). Needs root.
#
#   docker/walk.sh                             everything, with the build (many minutes)
#   docker/walk.sh --skip-build-with BINARY    puts BINARY where the build would leave docent, and leaves out cargo
#   docker/walk.sh --help                      the other options
#
# All mounts are made in a mount namespace of this process, so that they are gone with it, however it ends.
set -eu
cd "$(dirname "$0")/.."
for tool in debootstrap unshare python3; do
    command -v "$tool" >/dev/null || {
        echo "walk: $tool is not installed (Debian packages: debootstrap, util-linux, python3)" >&2
        exit 2
    }
done
case " $* " in
*" --help "* | *" -h "*) exec python3 docker/walk.py "$@" ;;
esac
[ "$(id -u)" = 0 ] || {
    echo "walk: chroot and mount need root" >&2
    exit 2
}
exec unshare --mount --pid --fork --kill-child --mount-proc --propagation private python3 docker/walk.py "$@"
