"""git's hooks by which a push is taken to production without a CI system."""

from __future__ import annotations

import shlex

from slipway.records.ci_runs import WAITING

__all__ = ["post_receive", "pre_push"]

WORK = "slipway-work"
"""The clone in a bare repository in which pushes are carried out, and where the stores lie that slipway.toml puts there."""

_POST_RECEIVE = """#!/bin/bash
# A push to the main branch is taken to production, as far as it comes; what comes of it is said to whoever pushes.
# What was pushed stays pushed, whatever becomes of it. One push after the other: whoever comes second waits.
# Where somebody's word is asked for, this ends, and `slipway up --env prod` in the folder WORK goes on once it was given.
set -u
python={python}
repository=$(git rev-parse --absolute-git-dir)
main=$(git symbolic-ref HEAD)
unset $(git rev-parse --local-env-vars)
work=$repository/{work}

carry_out() {{
  if [ "$(git -C "$repository" rev-parse "$main")" != "$1" ]; then
    echo "slipway: ${{1:0:12}} was replaced by a later push meanwhile, which is taken instead."
    return 0
  fi
  if [ ! -d "$work/.git" ]; then
    git clone --quiet --no-checkout "$repository" "$work" || return 1
  fi
  git -C "$work" fetch --quiet --force "$repository" "$main" || return 1
  git -C "$work" checkout --quiet --force --detach "$1" || return 1
  if [ ! -f "$work/slipway.toml" ]; then
    echo "slipway: the commit ${{1:0:12}} has no slipway.toml in its top folder: nothing is trained."
    return 0
  fi
  "$python" -m slipway ci run -C "$work"
}}

while read -r former commit reference; do
  if [ "$reference" != "$main" ]; then
    echo "slipway: $reference is not $main: nothing is trained or deployed."
    continue
  fi
  if [ -z "${{commit//0/}}" ]; then
    echo "slipway: $main was deleted: what serves goes on serving."
    continue
  fi
  if [ -n "${{former//0/}}" ] && ! git -C "$repository" merge-base --is-ancestor "$former" "$commit"; then
    echo "slipway: the history of $main was rewritten; what serves goes on serving until ${{commit:0:12}} is through."
  fi
  (
    flock --nonblock 9 || {{ echo "slipway: another push is under way: waiting for its end."; flock 9; }}
    carry_out "$commit" 9>&-
  ) 9>>"$repository/slipway.lock" 2>&1
  code=$?
  case $code in
    0) ;;
    {waiting}) echo "slipway: what serves goes on serving until then. Commands are for the server, in $work" ;;
    *) echo "slipway: ended with $code; what serves goes on serving. Mend it and push, or on the server:" \\
            "slipway ci run -C $work" ;;
  esac
done
exit 0
"""

_PRE_PUSH = """#!/bin/bash
# Before anything is pushed, the project's tests run: a push that would fail there is not made.
# Without them, once: git push --no-verify
set -u
python={python}
top=$(git rev-parse --show-toplevel)
unset $(git rev-parse --local-env-vars)
cat >/dev/null
exec "$python" -m slipway ci run --stage test -C "$top"
"""


def post_receive(python: str) -> str:
    """The hook of a bare repository that is pushed to.

    Args:
        python: The interpreter that has Slipway.
    """
    return _POST_RECEIVE.format(python=shlex.quote(python), work=WORK, waiting=WAITING)


def pre_push(python: str) -> str:
    """The hook of a clone from which somebody pushes.

    Args:
        python: The interpreter that has Slipway.
    """
    return _PRE_PUSH.format(python=shlex.quote(python))
