#!/bin/sh
# Space Opera @version@: this script, then a compressed archive of Deno, the program and its data.
# The first start unpacks the archive into the user's cache, later ones find it there. Needs sh, coreutils, tar, gzip.
set -eu

fail() {
  echo "$1" >&2
  exit 1
}

cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
[ -n "$cache" ] || fail 'Cannot tell where to unpack the program: HOME is not set. Set it, or XDG_CACHE_HOME'
cache=$cache/space-opera
# Named by what the archive holds, so versions lie side by side and what is unpacked is never changed.
home=$cache/@content@

complete() {
  [ -x "$home/deno" ] && [ -s "$home/deno" ] && [ -s "$home/@main@" ]
}

# Everything happens in a folder of this start's own, which then gets its name in one step: two that start at once do
# the work twice, and either of them sees nothing or the whole.
unpack() (
  umask 077
  mkdir -p "$cache" && chmod 700 "$cache" ||
    fail "Cannot unpack the program into \"$cache\": set XDG_CACHE_HOME to a folder of your own"
  part=$(mktemp -d "$cache/part.XXXXXX")
  trap 'rm -rf "$part"' EXIT
  trap 'exit 1' HUP INT TERM
  [ -r "$0" ] || fail "Cannot read the program from \"$0\": start it by its path"
  tail -c +@start@ "$0" >"$part/archive" || fail "Cannot unpack the program into \"$cache\": is the disk full?"
  sum=$(sha256sum <"$part/archive")
  [ "${sum%% *}" = @checksum@ ] || fail "The file \"$0\" is damaged: its archive's SHA-256 is ${sum%% *}. Get it anew"
  mkdir "$part/home"
  tar -xzf "$part/archive" -C "$part/home" || fail "Cannot unpack the program into \"$cache\": is the disk full?"
  # Cleared away by others, in part: put aside whole.
  if [ -d "$home" ] && ! complete; then mv "$home" "$part/remains"; fi
  # Where another start was quicker, mv refuses, or moves this copy into that one's folder: then it goes again.
  mv "$part/home" "$home" 2>/dev/null || true
  rm -rf "$home/home"
)

if ! complete; then
  unpack
  complete || fail "Cannot unpack the program into \"$cache\": set XDG_CACHE_HOME to a folder where programs may run"
fi

run() {
  exec "$home/deno" run --quiet --no-prompt --no-remote --no-npm "$@"
}

export DENO_DIR="$home/cache" DENO_NO_UPDATE_CHECK=1
case ${1-} in
@cases@
esac
