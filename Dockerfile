# The API in a container: non-root, made for a read-only root file system (`--read-only`); writes to /data at most.
#   docker build -t tenants-api . && docker run --rm tenants-api --help
# Behind an index or a certificate authority of your own:
#   docker build -t tenants-api --build-arg PIP_INDEX_URL=https://pypi.example.com/simple --secret id=ca,src=ca.pem .
# podman keeps HEALTHCHECK with `--format docker` only.

FROM python:3.12-slim AS build
WORKDIR /build
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY deploy/build.lock deploy/runtime.lock deploy/
# Every file by its hash, the build backend too; neither it nor pip gets into the second stage.
RUN --mount=type=secret,id=ca,target=/ca.pem \
    if [ -s /ca.pem ]; then export PIP_CERT=/ca.pem; fi \
    && python -m venv --without-pip /opt/tenants-api \
    && pip --python /opt/tenants-api/bin/python install --require-hashes -r deploy/runtime.lock \
    && pip install --require-hashes -r deploy/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY tenants_api tenants_api
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && pip --python /opt/tenants-api/bin/python install --no-deps --no-index dist/*.whl

FROM python:3.12-slim
LABEL org.opencontainers.image.title="tenants-api" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/tenants-api /opt/tenants-api
# The embedded SQLite file lands here unless TENANTS_DATABASE_URL names a server.
RUN install -d -o 10001 -g 10001 -m 0750 /data
ENV PATH=/opt/tenants-api/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /data
VOLUME ["/data"]
# A number, so that Kubernetes' runAsNonRoot can tell.
USER 10001:10001
EXPOSE 8000
# The port is that of `serve --port`, which is in the command line of the first process.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import re, urllib.request; port = re.search(r'--port[=\\0]([0-9]+)', open('/proc/1/cmdline').read()); urllib.request.urlopen(f'http://127.0.0.1:{port[1] if port else 8000}/livez', timeout=2)"]
ENTRYPOINT ["tenants-api"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
