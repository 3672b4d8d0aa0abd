#!/usr/bin/env bash
# Makes the keys of the facility's services, a file each; a file that is there stays as it is.
#
#   make_keys.sh FOLDER [--group GID] [--database-host HOST]
#
#   --group GID            may read the files too: for containers that are not root
#   --database-host HOST   where database.uri has PostgreSQL; left out: 127.0.0.1
#
# To change a key: remove its file (of the password: database.uri too) and run this again.
set -euo pipefail

usage() { echo "error: make_keys.sh FOLDER [--group GID] [--database-host HOST]" >&2; exit 2; }
[ $# -ge 1 ] || usage
folder="$1"; shift
group="" host="127.0.0.1"
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case "$1" in
    --group) group="$2" ;;
    --database-host) host="$2" ;;
    *) usage ;;
  esac
  shift 2
done

mkdir -p "$folder"
umask 077
# 32 random bytes as letters and digits, which is what Tiled's clients send.
random() { od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'; }
uri() { printf 'postgresql://stedopt:%s@%s/stedopt' "$(cat "$folder/database.password")" "$host"; }
make() {  # NAME, and what writes it
  [ ! -s "$folder/$1" ] || return 0
  "$2" >"$folder/$1.part"
  if [ -n "$group" ]; then chgrp "$group" "$folder/$1.part"; chmod 0440 "$folder/$1.part"; fi
  mv "$folder/$1.part" "$folder/$1"
  echo "made $folder/$1"
}
for name in write.key read.key networks.key database.password; do
  make "$name" random
done
make database.uri uri
