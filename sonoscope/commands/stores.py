"""The store that the settings name, for every command that reads."""

from __future__ import annotations

from analytics.stores.configured import Addresses, RemoteStore, open_store
from analytics.stores.local import LocalStore
from analytics.stores.mapping import read_mapping
from serve.settings import Settings
from sonoscope.commands.common import fail


def store_of(configured: Settings) -> LocalStore | RemoteStore:
    """Tempo and Elasticsearch where their addresses are set, else the local files; under the names of mapping.yaml.

    Ends the command where an address or the mapping is none.
    """
    path = configured.data_dir / "mapping.yaml"
    password, key = configured.elasticsearch_password, configured.elasticsearch_api_key
    addresses = Addresses(
        tempo_url=configured.tempo_url,
        tempo_tenant=configured.tempo_tenant,
        tempo_headers={name: value.get_secret_value() for name, value in configured.tempo_headers.items()},
        elasticsearch_url=configured.elasticsearch_url,
        elasticsearch_username=configured.elasticsearch_username,
        elasticsearch_password=password.get_secret_value() if password else None,
        elasticsearch_api_key=key.get_secret_value() if key else None,
        elasticsearch_ca_file=str(configured.elasticsearch_ca_file) if configured.elasticsearch_ca_file else None,
        elasticsearch_index=configured.elasticsearch_index,
    )
    try:
        mapping = read_mapping(path) if path.exists() else None
        return open_store(configured.journal_dir, configured.parquet_dir, mapping=mapping, addresses=addresses)
    except (OSError, ValueError) as error:
        fail(str(error), "`sonoscope doctor` says what is configured.")
