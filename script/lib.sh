# Shared by the scripts beside it: makes the virtual environment. Source it after `cd` to the checkout.
#
# A stamp (hash of pyproject.toml, constraints.txt and the checkout's own path) says whether the environment is up to
# date, so the second start costs nothing. Two levels: `base` is the project alone, `dev` adds the tools of script/test.

VENV="$PWD/.venv"
PY="$VENV/bin/python"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $1"
    [ $# -lt 2 ] || say "hint: $2"
    exit 1
}

# Run a command quietly; show what it printed only when it fails.
quietly() {
    local log status
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        rm -f "$log"
    else
        status=$?
        cat "$log" >&2
        rm -f "$log"
        return "$status"
    fi
}

# The first interpreter that is Python 3.11 or newer; PYTHON overrides.
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python3.12 python3.13 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s' "$candidate"
            return 0
        fi
    done
    return 1
}

stamp_of() {
    { printf '%s\n' "$VENV"; cat pyproject.toml constraints.txt; } | sha256sum | cut -d ' ' -f 1
}

is_current() { # level
    [ -x "$PY" ] && [ "$(cat "$VENV/stamp-$1" 2>/dev/null)" = "$(stamp_of)" ]
}

# pip of the environment, or the host's pip working on it where Debian left out ensurepip.
pip_install() {
    if [ -x "$VENV/bin/pip" ]; then
        quietly "$PY" -m pip install --quiet "$@"
    else
        quietly "$(find_python)" -m pip --python "$PY" install --quiet "$@"
    fi
}

make_venv() { # level: base | dev
    local level=$1 python what=.
    is_current "$level" && return 0
    python=$(find_python) || die "Python 3.11 or newer was not found" "install it, or set PYTHON to its path"

    # Two scripts may be started at once in one checkout: the second waits, then finds the work done.
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$PWD/.venv.lock"
        flock 9
        if is_current "$level"; then
            exec 9>&-
            return 0
        fi
    fi

    # An environment made elsewhere (a moved checkout), or by an interpreter that is gone, is made anew.
    if ! "$PY" -c '' >/dev/null 2>&1 || [ "$(cat "$VENV/home" 2>/dev/null)" != "$VENV" ]; then
        say "· making a virtual environment in .venv ($("$python" --version 2>&1))"
        if "$python" -c 'import ensurepip' >/dev/null 2>&1; then
            quietly "$python" -m venv --clear "$VENV" || die "could not make $VENV"
        else
            quietly "$python" -m venv --clear --without-pip "$VENV" || die "could not make $VENV"
        fi
        printf '%s' "$VENV" >"$VENV/home"
    fi
    if [ "$level" = dev ]; then
        what=".[dev]"
        say "· installing liftlock and its development tools"
    else
        say "· installing liftlock"
    fi
    pip_install --editable "$what" --constraint constraints.txt || die "pip could not install the project"
    stamp_of >"$VENV/stamp-base"
    [ "$level" = base ] || stamp_of >"$VENV/stamp-dev"
    exec 9>&-
}
