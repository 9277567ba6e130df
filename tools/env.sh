#!/usr/bin/env bash
# Copyright (c) mmseg_semi authors.
#
# Source this file, then call one of
#
#   pick_python         set PYTHON to the active environment's interpreter,
#                       else to .venv of this checkout, else to python3
#   ensure_env          as above, but make .venv where nothing is active, and
#                       install what is missing to use mmseg_semi
#   ensure_env tests    and what is missing to run its tests and linters
#
# Variables:
#   MMSEG_SEMI_PYTHON   use, and install into, this interpreter
#   TORCH_SPEC          what to install where PyTorch is missing
#                       (default: torch==2.13.0)

ENV_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

_die() {
    printf 'mmseg_semi: %s\n' "$@" >&2
    exit 1
}

# 3.14 has no pkgutil.find_loader, which mmengine 0.10.7 calls.
_is_supported() {
    "$1" -c 'import sys
sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' 2>/dev/null
}

_active_python() {
    if [[ -n ${MMSEG_SEMI_PYTHON:-} ]]; then
        echo "$MMSEG_SEMI_PYTHON"
    elif [[ -n ${VIRTUAL_ENV:-} ]]; then
        echo "$VIRTUAL_ENV/bin/python"
    elif [[ -n ${CONDA_PREFIX:-} && ${CONDA_DEFAULT_ENV:-base} != base ]]; then
        echo "$CONDA_PREFIX/bin/python"
    fi
}

pick_python() {
    PYTHON=$(_active_python)
    if [[ -z $PYTHON ]]; then
        PYTHON=$ENV_ROOT/.venv/bin/python
        [[ -x $PYTHON ]] || PYTHON=python3
    fi
    # The checkout comes first, also where another copy is installed.
    export PYTHONPATH="$ENV_ROOT${PYTHONPATH:+:$PYTHONPATH}"
}

_make_venv() {
    local candidate base='' log
    if "$PYTHON" -m pip --version >/dev/null 2>&1; then
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
        if _is_supported "$candidate"; then
            base=$candidate
            break
        fi
    done
    [[ -n $base ]] || _die "no Python 3.10 to 3.13 found." \
        "Install one (Debian, Ubuntu: sudo apt install python3 python3-venv)" \
        "or activate an environment that has one, and run this again."
    printf 'mmseg_semi: making %s\n' "$ENV_ROOT/.venv" >&2
    if ! log=$("$base" -m venv --clear "$ENV_ROOT/.venv" 2>&1); then
        rm -rf "$ENV_ROOT/.venv"
        _die "$log" "" "$base cannot make a virtual environment. Either" \
            "  install the missing part (Debian, Ubuntu:" \
            "  sudo apt install python3-venv), or" \
            "  activate an environment of your own (venv, conda), or" \
            "  in a container, set MMSEG_SEMI_PYTHON=$base to install into it."
    fi
}

# Prints one requirement a line. PyTorch and the OpenMMLab packages count as
# present when their module can be found, whichever distribution provides it;
# whether it is recent enough is said by `import mmseg_semi`.
_missing() {
    (cd / && PYTHONPATH='' "$PYTHON" - "$ENV_ROOT/requirements" "$@") <<'EOF'
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

MODULES = dict([('torch', 'torch'), ('mmengine', 'mmengine'),
                ('mmcv-lite', 'mmcv'), ('mmsegmentation', 'mmseg')])
folder, *names = sys.argv[1:]
for name in names:
    for line in Path(folder, f'{name}.txt').read_text().splitlines():
        line = line.split('#')[0].strip()
        if not line:
            continue
        requirement = Requirement(line)
        if requirement.name in MODULES:
            missing = find_spec(MODULES[requirement.name]) is None
        else:
            try:
                found = version(requirement.name)
                missing = not requirement.specifier.contains(found, True)
            except PackageNotFoundError:
                missing = True
        if missing:
            print(line)
if find_spec('mmseg_semi') is None:
    print('mmseg_semi')
EOF
}

_pip_install() {
    local options=(--disable-pip-version-check)
    [[ -t 2 ]] || options+=(--quiet)
    "$PYTHON" -m pip install "${options[@]}" "$@" >&2 || _die "" "installing failed: $*" \
        "If the messages above speak of connections or timeouts, this" \
        "machine does not reach a package index. Behind a proxy set" \
        "HTTPS_PROXY; with a mirror set PIP_INDEX_URL; without network" \
        "activate an environment that already holds the packages listed in" \
        "$ENV_ROOT/requirements and run this again."
}

ensure_env() {
    local names=(mminstall runtime "$@") missing line packages=()
    pick_python
    if [[ -z $(_active_python) ]]; then
        PYTHON=$ENV_ROOT/.venv/bin/python
        _make_venv
    fi
    _is_supported "$PYTHON" || _die "$PYTHON is not a Python 3.10 to 3.13." \
        "Deactivate it, or activate an environment that has one."
    "$PYTHON" -m pip --version >/dev/null 2>&1 || _die "$PYTHON has no pip." \
        "Install it ($PYTHON -m ensurepip) and run this again."

    missing=$(_missing "${names[@]}")
    [[ -n $missing ]] || return 0
    printf 'mmseg_semi: installing into %s (once): %s\n' \
        "$("$PYTHON" -c 'import sys; print(sys.prefix)')" \
        "${missing//$'\n'/, }" >&2
    # First, so that nothing else drags in another build of it.
    if grep -q '^torch\b' <<<"$missing"; then
        _pip_install "${TORCH_SPEC:-torch==2.13.0}"
    fi
    while read -r line; do
        case $line in
        torch[\>=]* | mmseg_semi) ;;
        *) packages+=("$line") ;;
        esac
    done <<<"$missing"
    if ((${#packages[@]})); then
        _pip_install "${packages[@]}"
    fi
    # Last: it builds with the setuptools that was just installed.
    if grep -qx mmseg_semi <<<"$missing"; then
        _pip_install --no-deps --no-build-isolation --editable "$ENV_ROOT"
    fi
}
