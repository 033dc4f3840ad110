#!/bin/sh
# Installs what not every machine has a wheel for: optional.sh PIP FILE "what follows where there is none".
# Which wheels fit is pip's to say: a 32-bit system on a 64-bit kernel calls itself 64-bit.
set -u
# $1 is a command with its options
said=$($1 install --only-binary=:all: -r "$2" 2>&1) && exit 0
case $said in
*"No matching distribution"*)
    printf 'setting up        no wheel of %s for this machine: %s\n' "$(sed -n 's/==.*//p' "$2" | head -n 1)" "$3"
    ;;
*)
    printf '%s\n' "$said" >&2
    exit 69
    ;;
esac
