# DHPE with its kernels compiled in: slim, non-root, and content with a read-only root (it writes below /data only).
# Any image with Python 3.11 or newer as `python` can be the base; `make image` proves this file on one of Debian's.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /build
COPY requirements/build.txt requirements/run.txt requirements/
RUN python -m venv /opt/dhpe \
    && python -m venv /opt/build \
    && /opt/dhpe/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements/run.txt \
    && /opt/build/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY service service
RUN /opt/build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/dhpe/bin/python -m pip install --quiet --no-deps dist/dhpe-*.whl \
    && /opt/dhpe/bin/python -m pip uninstall --quiet --yes pip \
    && /opt/dhpe/bin/python -m compileall -q /opt/dhpe/lib
# The kernels are for x86-64-v3 whatever CPU builds them, and stand at the path where they will be read.
RUN /opt/dhpe/bin/python -m dhpe.warm && chmod -R a+rX /opt/dhpe

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="dhpe" \
    org.opencontainers.image.description="Dealer Hedge-Pressure Engine" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/dhpe /opt/dhpe
COPY --chmod=755 deploy/image/healthcheck.py /usr/local/bin/dhpe-healthcheck
RUN mkdir /data && chown 10001:10001 /data
ENV PATH=/opt/dhpe/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DHPE_HTTP_HOST=0.0.0.0 \
    DHPE_EMBEDDED_LOG_PATH=/data/dhpe-log.sqlite
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["dhpe-healthcheck"]
ENTRYPOINT ["dhpe"]
CMD ["run"]
