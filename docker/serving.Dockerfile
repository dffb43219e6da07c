# The API alone: no torch, no MLflow, no Airflow. Build in the root of the repository:
#   docker build -f docker/serving.Dockerfile -t facet-serving:0.1.0 .
FROM python:3.11.14-slim-bookworm AS packages
RUN python -m pip install --no-cache-dir uv==0.13.9 && python -m venv /opt/venv
COPY docker/serving.lock /tmp/
RUN uv pip install --no-cache --python /opt/venv/bin/python -r /tmp/serving.lock

FROM python:3.11.14-slim-bookworm
# A number that Kubernetes can check; the folder gives its owner to the volume that is mounted there first.
RUN useradd --uid 10001 --create-home facet && install -d -o facet -g facet /var/lib/facet
COPY --from=packages /opt/venv /opt/venv
WORKDIR /opt/facet
COPY facet.py ./
COPY features features
COPY training training
COPY serving serving
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/facet PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    FACET_HOME=/var/lib/facet FACET_HOST=0.0.0.0 FEAST_USAGE=False DO_NOT_TRACK=true
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["python", "-m", "facet", "serve"]
