#!/bin/sh
# The tests run on a real mosquitto. Installs Debian's where that is possible, else says how.
PATH="$PATH:/usr/sbin:/usr/local/sbin"
command -v mosquitto >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "setting up        mosquitto, from the distribution's packages"
    export DEBIAN_FRONTEND=noninteractive
    # a container may forbid services to start: the tests start their own broker anyway
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends mosquitto mosquitto-clients; } >/dev/null 2>&1
    command -v mosquitto >/dev/null 2>&1 && exit 0
fi
echo "error: the tests need mosquitto, which is not installed" >&2
echo "why:   they run on the broker that gateways run on, not on a stand-in" >&2
echo "next:  sudo apt install mosquitto mosquitto-clients" >&2
exit 69
