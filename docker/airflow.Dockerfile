# Airflow, its tasks, training and MLflow. Build in the root of the repository:
#   docker build -f docker/airflow.Dockerfile -t facet-airflow:0.1.0 .
# Without a GPU, UV_EXTRA_INDEX_URL names PyTorch's CPU index: that is several GB less.
FROM python:3.11.14-slim-bookworm AS packages
ARG UV_EXTRA_INDEX_URL
RUN python -m pip install --no-cache-dir uv==0.13.9 && python -m venv /opt/venv
COPY docker/airflow.lock /tmp/
RUN uv pip install --no-cache --python /opt/venv/bin/python -r /tmp/airflow.lock

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --create-home facet && install -d -o facet -g facet /var/lib/facet
COPY --from=packages /opt/venv /opt/venv
WORKDIR /opt/facet
COPY facet.py ./
COPY features features
COPY training training
COPY serving serving
COPY dags dags
COPY docker/airflow.env docker/
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/facet PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    FACET_HOME=/var/lib/facet AIRFLOW_HOME=/var/lib/facet/airflow AIRFLOW__CORE__DAGS_FOLDER=/opt/facet/dags
USER 10001:10001
CMD ["airflow", "version"]
