"""Airflow reads its home when it is first imported; tests get one of their own."""

import os
import tempfile

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="facet-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
