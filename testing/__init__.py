"""Contract tests for components of other packages: derive a test class and name the component.

    # tests/test_contract.py of your package
    from reseed.testing import EnhancerContract

    class TestMine(EnhancerContract):
        enhancer = "mine"  # its entry point, or "my_package.module:Mine"

`pytest` then runs every test that reseed's own enhancers pass; a failure says what is wrong and what to do.
docs/plugins.md has the rest.
"""

import pytest

_MODULES = ("aligners", "backbones", "datasets", "enhancers", "generated", "metrics", "scorers")
for _module in _MODULES:
    pytest.register_assert_rewrite(f"{__name__}.{_module}")

from reseed.testing.aligners import AlignerContract  # noqa: E402
from reseed.testing.backbones import BackboneContract  # noqa: E402
from reseed.testing.datasets import DatasetContract  # noqa: E402
from reseed.testing.enhancers import EnhancerContract, TrainedEnhancerContract  # noqa: E402
from reseed.testing.metrics import MetricContract  # noqa: E402
from reseed.testing.scorers import ScorerContract  # noqa: E402

__all__ = [
    "AlignerContract",
    "BackboneContract",
    "DatasetContract",
    "EnhancerContract",
    "MetricContract",
    "ScorerContract",
    "TrainedEnhancerContract",
]
