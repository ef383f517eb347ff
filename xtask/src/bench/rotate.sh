#!/usr/bin/env bash
# One tick of certificate rotation as a careful script does it; `cargo xtask bench tls` measures agnes-ops beside it.
# An unchanged tick fetches, verifies, compares and ends; what a changed one does stands below for completeness.
set -euo pipefail

url=$1 ca_bundle=$2 certs=$3 domain=$4 reload=${5:-true}

refuse() {
  echo "rotate: $1; what is installed stays" >&2
  exit 1
}

new=$(mktemp "$certs/.fullchain.XXXXXX")
trap 'rm -f "$new"' EXIT

curl --fail --silent --show-error --proto '=https' --cacert "$ca_bundle" \
  --connect-timeout 5 --max-time 25 --max-filesize 1048576 --retry 2 --output "$new" "$url"

leaf_key=$(openssl x509 -in "$new" -noout -pubkey) || refuse "not a certificate"
our_key=$(openssl pkey -in "$certs/privkey.pem" -pubout)
[ "$leaf_key" = "$our_key" ] || refuse "the certificate is for another key"
openssl x509 -in "$new" -noout -checkend 86400 >/dev/null || refuse "it has expired, or will within a day"
case $(openssl x509 -in "$new" -noout -checkhost "$domain") in
  *"does match certificate"*) ;;
  *) refuse "it does not cover $domain" ;;
esac

if cmp -s "$new" "$certs/fullchain.pem"; then
  exit 0
fi
chmod 0644 "$new"
mv "$new" "$certs/fullchain.pem"
"$reload"
