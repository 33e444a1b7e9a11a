"""Actions on a provider that speak to its host. `ProviderAdmin` inherits and offers them."""

from __future__ import annotations


class ProviderOperations:
    """Mixed into the console's page of a provider. `operation_actions` joins its object actions."""

    operation_actions: tuple[str, ...] = ()
