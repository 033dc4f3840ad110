#!/bin/sh
# The tests of power cuts record system calls. Installs Debian's strace where that is possible, else says how.
command -v strace >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "setting up        strace, from the distribution's packages"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends strace; } >/dev/null 2>&1
    command -v strace >/dev/null 2>&1 && exit 0
fi
echo "error: the tests need strace, which is not installed" >&2
echo "why:   they cut the power behind every system call of the store, and strace records these" >&2
echo "next:  sudo apt install strace" >&2
exit 69
