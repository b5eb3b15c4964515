"""The resources of the assets."""

import dagster as dg

from renku_metrics.store.store import Store


class CentralStore(dg.ConfigurableResource[Store]):
    """The one store that holds every deployment."""

    address: str

    def open(self) -> Store:
        return Store.at(self.address)
