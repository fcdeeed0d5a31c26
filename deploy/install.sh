#!/bin/sh
# Installs meshtrail from a checkout for a whole machine, or into an image:
#
#   sh deploy/install.sh PREFIX        for example /opt/meshtrail-0.1.0
#
# Wheels only, each held against its hash in the lock: no compiler is needed, and nothing is resolved
# anew. meshtrail itself is not built, which would bring in a build backend that no lock pins: its
# source is put on the environment's path, as ./dev does. Needs Python 3.11 or newer with pip.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
prefix=${1:?where to? sh deploy/install.sh PREFIX}
case $prefix in
    /*) ;;
    *) prefix=$PWD/$prefix ;;
esac
if [ -e "$prefix/venv" ] || [ -e "$prefix/src" ]; then
    # What runs from there must not change under its feet.
    echo "install.sh: $prefix is in use; install beside it, and move the link" >&2
    exit 1
fi

umask 022
mkdir -p "$prefix/bin" "$prefix/src"
python3 -m venv --without-pip "$prefix/venv"
python=$prefix/venv/bin/python
python3 -m pip --python "$python" install \
    --no-deps --require-hashes --only-binary=:all: --no-compile --no-cache-dir \
    --disable-pip-version-check --quiet -r "$root/requirements/run.txt"
cp "$root/LICENSE" "$root/pyproject.toml" "$prefix/"
cp -R "$root/src/meshtrail" "$prefix/src/"
site=$("$python" -c 'import site; print(site.getsitepackages()[0])')
echo "$prefix/src" >"$site/meshtrail.pth"
printf '#!/bin/sh\nexec %s -P -m meshtrail "$@"\n' "$python" >"$prefix/bin/meshtrail"
chmod 755 "$prefix/bin/meshtrail"
# Compiled now, because nobody who runs it may write here. By content, so that times say nothing.
"$python" -m compileall -q -f -j 0 --invalidation-mode unchecked-hash "$prefix/src" "$site"
chmod -R a+rX "$prefix"
