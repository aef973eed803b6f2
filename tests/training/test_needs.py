import pytest

from pipeline.errors import ConfigError
from training.needs import require


def test_all_that_is_missing_is_named_with_the_cure() -> None:
    require("evaluate generator", "numpy")
    with pytest.raises(ConfigError, match=r"evaluate generator needs no_such, nor_this: make setup EXTRAS=training"):
        require("evaluate generator", "numpy", "no_such", "nor_this")
