# syntax=docker/dockerfile:1
# Any image with glibc, Python 3.11 and its venv module; deploy/image/build.sh makes one from Debian's packages.
ARG BASE=python:3.11-slim-bookworm
# The web console is built here by default. With CONSOLE=console-given, it is the one that `make console` has built.
ARG NODE=node:22-bookworm-slim
ARG CONSOLE=console-built

FROM ${NODE} AS console-built
COPY console /src/console
# A private registry comes as the secret `npm`, an .npmrc, and so into no layer.
RUN --mount=type=secret,id=npm,target=/root/.npmrc \
    cd /src/console && npm ci --silent --no-audit --no-fund && npm run --silent build \
    && mv /src/service/console/static /static

FROM scratch AS console-given
COPY service/console/static /static

FROM ${CONSOLE} AS console

FROM ${BASE} AS build
# Two environments: pip and the build backend stay in the first, the second is what the image gets.
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/akin
COPY requirements.lock deploy/build-requirements.lock /src/
# A private index or proxy comes as the secret `pip`, a pip.conf, and so into no layer.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/build/bin/pip install --no-cache-dir --require-hashes -r /src/build-requirements.lock \
    && /opt/build/bin/pip --python /opt/akin/bin/python install --no-cache-dir --no-compile \
        --require-hashes -r /src/requirements.lock \
    # 20 MB that never run: what downloads models from a hub, which is offline here, and the tests of packages.
    && /opt/build/bin/pip --python /opt/akin/bin/python uninstall -q -y hf-xet \
    && find /opt/akin/lib -depth -type d -name tests -exec rm -r {} +
COPY pyproject.toml README.md LICENSE /src/
COPY clients/python /src/clients/python
COPY service /src/service
# A build in the context would leave files of its own beside those of this one.
RUN rm -rf /src/service/console/static
COPY --from=console /static /src/service/console/static
# From here on nothing is fetched. Sources in an image never change, so that no start has to look whether they did.
RUN /opt/build/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels \
        /src/clients/python /src \
    && /opt/build/bin/pip --python /opt/akin/bin/python install --no-index --no-deps --no-compile \
        /wheels/*.whl \
    && /opt/akin/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/akin/lib

FROM ${BASE}
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="Akin" \
      org.opencontainers.image.description="Recommendations from texts over gRPC" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/akin-dev/akin" \
      org.opencontainers.image.url="https://github.com/akin-dev/akin"
# Slim images come without Python's own bytecode.
RUN python3 -m compileall -q -x '/(lib2to3|tests?|dist-packages|site-packages)/' \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /opt/akin /opt/akin
# Nothing but /data is written: the root file system may be read-only, and no tmpfs is needed. SQLite's own temporary
# files go to the working folder where /tmp cannot be written.
ENV PATH=/opt/akin/bin:$PATH \
    HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    AKIN_DATA_DIR=/data \
    AKIN_LISTEN=0.0.0.0:50051 \
    AKIN_HEALTH_LISTEN=127.0.0.1:50052
USER 10001:10001
WORKDIR /data
VOLUME /data
# gRPC, and HTTP for AKIN_HTTP_LISTEN=0.0.0.0:8080.
EXPOSE 50051 8080
STOPSIGNAL SIGTERM
# Asks grpc.health.v1, which wants no key, through Akin's own client.
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import akin; raise SystemExit(not akin.Client('127.0.0.1:50052').is_serving())"]
# The exec form makes Python process 1, so that SIGTERM reaches it.
CMD ["akin", "serve"]
