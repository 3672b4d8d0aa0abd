#!/usr/bin/env bash
# Mails the status of a failed service and what it told last.
#
#   alert.sh UNIT
#
#   STEDOPT_ALERT_TO    who is told; left out: root
#   STEDOPT_SENDMAIL    what takes the mail on standard input; left out: sendmail -t
set -euo pipefail

unit="$1"
[[ "$unit" =~ ^[A-Za-z0-9@._-]+$ ]] || { echo "error: unit = '$unit': the name of a unit" >&2; exit 2; }
read -r -a send <<<"${STEDOPT_SENDMAIL:-/usr/sbin/sendmail -t}"
{
  printf 'To: %s\n' "${STEDOPT_ALERT_TO:-root}"
  printf 'Subject: %s has failed on %s\n' "$unit" "$(uname -n)"
  printf 'Content-Type: text/plain; charset=utf-8\n\n'
  systemctl status --no-pager --lines=0 "$unit" 2>&1 || true
  echo
  journalctl --no-pager --lines=50 --output=short-iso --unit="$unit" 2>&1 || true
} | "${send[@]}"
