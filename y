#!/bin/sh
# ./x VERB: `cargo xtask VERB`, on a machine that has Rust but may lack the C linker that Rust programs need.
set -eu
cd "$(dirname "$0")"
if ! command -v cc >/dev/null || [ ! -e /usr/include/stdio.h ]; then
    echo "installing gcc and libc6-dev: Rust programs are linked with them" >&2
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -q >&2
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends gcc libc6-dev >&2
fi
exec cargo xtask "$@"
