"""What tests of plans share."""

from pathlib import Path

import pytest
from programs.hand_made_plans import hand_made_plan, whole_plan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a plan of a pipeline and one of one program."""
    hand_made_plan().save(tmp_path / "pipeline.json")
    whole_plan().save(tmp_path / "whole.json")
    return tmp_path
