# syntax=docker/dockerfile:1
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
COPY requirements.lock pyproject.toml README.md LICENSE /src/
RUN python3 -m venv --without-pip /opt/akin \
    && python3 -m pip --python /opt/akin/bin/python install --no-cache-dir --require-hashes \
        -r /src/requirements.lock
COPY clients/python /src/clients/python
COPY service /src/service
RUN python3 -m pip --python /opt/akin/bin/python install --no-cache-dir --no-deps \
        /src/clients/python /src \
    && /opt/akin/bin/python -m compileall -q /opt/akin/lib

FROM ${BASE}
COPY --from=build /opt/akin /opt/akin
RUN mkdir /data && chown 10001:10001 /data
# Nothing but /data is written, so that the root file system may be read-only.
ENV PATH=/opt/akin/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    AKIN_DATA_DIR=/data \
    AKIN_LISTEN=0.0.0.0:50051
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 50051
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["akin", "status"]
# The exec form makes Python process 1, so that SIGTERM reaches it.
CMD ["akin", "serve"]
