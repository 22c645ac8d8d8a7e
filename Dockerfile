# The service as `make serve` runs it: the same lock file, the same set-up, the same command.
# `docker compose up` brings a database and a pooler with it; alone it needs DATABASE_URL, or runs on the
# embedded Postgres in /var/lib/cryoprotect.

FROM python:3.13-slim AS build
WORKDIR /srv/cryoprotect
# The dependencies are a layer of their own, made again only when the lock file changes.
COPY requirements.lock ./
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement requirements.lock
# What RDKit's drawing takes from the system; set-up looks whether it is there.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libxrender1 libxext6 libexpat1 \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN python deploy/environment.py serve

FROM python:3.13-slim AS service
# Debian's security updates are wanted; their versions change under a pinned base image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libxrender1 libxext6 libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/cryoprotect cryoprotect
WORKDIR /srv/cryoprotect
COPY --from=build /srv/cryoprotect /srv/cryoprotect
ENV HOST=0.0.0.0 \
    PORT=8000 \
    CRYOPROTECT_DATA_DIR=/var/lib/cryoprotect
# By number, as orchestrators that refuse root want it.
USER 10001
VOLUME /var/lib/cryoprotect
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD [".venv/bin/python", "deploy/healthcheck.py"]
CMD [".venv/bin/cryoprotect", "serve"]

FROM debian:trixie-slim AS pooler
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends pgbouncer postgresql-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10002 pooler
COPY deploy/pgbouncer /etc/cryoprotect-pooler
USER 10002
EXPOSE 6432
CMD ["/etc/cryoprotect-pooler/start"]
