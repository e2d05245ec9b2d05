"""What tests of plans share."""

from collections.abc import Generator
from pathlib import Path

import pytest
from oracles.browser import Browser, chromium
from programs.hand_made_plans import hand_made_plan, whole_plan


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Generator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a plan of a pipeline and one of one program."""
    hand_made_plan().save(tmp_path / "pipeline.json")
    whole_plan().save(tmp_path / "whole.json")
    return tmp_path
