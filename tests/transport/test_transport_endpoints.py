"""Where a registry is spoken to, when that is not its own host."""

from __future__ import annotations

import pytest

from liftlock.errors import ConfigError
from liftlock.transport.client import Transport
from liftlock.transport.settings import Settings

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


def test_an_endpoint_stands_for_a_registry() -> None:
    settings = Settings.from_environment(
        {"LIFTLOCK_ENDPOINTS": f"{ECR}=http://127.0.0.1:5000, r.example=https://10.1.2.3"}
    )
    transport = Transport(settings)
    assert transport.base_url(ECR) == "http://127.0.0.1:5000"
    assert transport.base_url("r.example") == "https://10.1.2.3"
    assert transport.base_url("other.example") == "https://other.example"


@pytest.mark.parametrize("text", ["nonsense", "=http://127.0.0.1"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"LIFTLOCK_ENDPOINTS: .* is not registry=url"):
        Settings.from_environment({"LIFTLOCK_ENDPOINTS": text})


def test_an_endpoint_has_no_path() -> None:
    transport = Transport(Settings(endpoints={"r.example": "http://10.0.0.1/v2/"}))
    with pytest.raises(ConfigError, match="URL without a path"):
        transport.base_url("r.example")
