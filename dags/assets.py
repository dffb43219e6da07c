"""Assets that connect the DAGs. Each is updated only after its data passed the check before it."""

from airflow.sdk import Asset

WATCHES = Asset(name="watches", uri="facet://lake/watches")
"""Extra: ``days`` that were committed (sorted) and ``day``, the newest of them."""
FEATURES = Asset(name="features", uri="facet://feast/recall")
"""Extra: ``day``, the newest day that is materialized."""
BUNDLES = Asset(name="bundles", uri="facet://bundles")
"""Extra: ``bundles``, the paths of all that passed the gate, and the ``day`` they were judged on."""
