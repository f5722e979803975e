"""How many examples a property is tried with: few while one works, many where TEST_LONG is set."""

from __future__ import annotations

import os

from hypothesis import Phase, settings

IS_LONG = bool(os.environ.get("TEST_LONG"))


def examples(short: int, long: int) -> settings:
    """Settings for `short` examples, or for `long` ones. Hypothesis shrinks what it finds and does
    not explain it, which would take longer than to read it."""
    return settings(
        deadline=None,
        max_examples=long if IS_LONG else short,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
