"""What a pipeline file asks of registries that only some clouds' registries do."""

from __future__ import annotations

import pytest

from liftlock.errors import ConfigError
from liftlock.gates.table import GATES
from liftlock.notify.table import NOTIFIERS
from liftlock.pipeline.load import load
from liftlock.release.pipeline import Pipeline

RESOURCE = "/subscriptions/0-1/resourceGroups/my.group_(x)/providers/Microsoft.ContainerRegistry/registries/contoso"


def _load(*lines: str) -> Pipeline:
    head = ["pipeline: shop", "images: [web]", "stages: [{name: live, to: contoso.azurecr.io/web, tags: [x]}]"]
    return load("\n".join((*head, "registries:", *lines)), "liftlock.yaml", GATES, NOTIFIERS)


def test_azures_registries_import_and_lock() -> None:
    found = _load("  contoso.azurecr.io:", f"    import: {RESOURCE}", "    lock: true").registries["contoso.azurecr.io"]

    assert (found.import_into, found.lock) == (RESOURCE, True)


@pytest.mark.parametrize("host", ["contoso.azurecr.cn", "contoso.azurecr.us", "Contoso-a1b2.azurecr.io"])
def test_so_do_those_of_azures_other_clouds(host: str) -> None:
    assert _load(f"  {host.lower()}: {{lock: true}}").registries[host.lower()].lock


@pytest.mark.parametrize(
    ("host", "key", "said"),
    [
        ("registry.example", "lock: true", "no Azure Container Registry, and only those are locked"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "lock: true", "no Azure Container Registry"),
        ("azurecr.io.example", "lock: true", "no Azure Container Registry"),
        ("registry.example", f"import: {RESOURCE}", "only those import images"),
        (
            "contoso.azurecr.io",
            "import: /subscriptions/0/resourceGroups/g/providers/Microsoft.Web/sites/contoso",
            "no container registry's resource id",
        ),
        ("contoso.azurecr.io", f"import: {RESOURCE}/webhooks/x", "no container registry's resource id"),
        ("contoso.azurecr.io", f"import: '{RESOURCE}?x=/'", "no container registry's resource id"),
    ],
)
def test_what_a_registry_cannot_do_is_refused_with_its_line(host: str, key: str, said: str) -> None:
    with pytest.raises(ConfigError) as told:
        _load(f"  {host}:", f"    {key}")

    assert (told.value.path, told.value.line) == ("liftlock.yaml", 6)
    assert said in told.value.message
    assert told.value.hint
