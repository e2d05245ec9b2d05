"""Where the profile and frontier are that Perseus' authors published, read in place."""

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).parents[2] / ".." / "shared" / "data" / "perseus"
DATA = Path(os.environ.get("PERSEUS_DATA", _DEFAULT))
PROFILE = DATA / "gpt3-175b+a100_sxm_bf16.csv"
FRONTIER = DATA / "frontier_gpt3-175b+a100_sxm_bf16_mb12.csv"
BLOCKING_WATTS = 83.64  # of an A100, in the artifact of the paper

needs_data = pytest.mark.skipif(
    not PROFILE.exists(), reason="no published profile; name its folder in PERSEUS_DATA"
)
