ARG BIN_STAGE=build

# What is shipped: one image that holds the server and everything that its host needs, so that one digest pins all of it.
# Another BIN_STAGE names a local image in place of the compiler's stage, which BuildKit then leaves out: it holds /out/agnesd
# and /out/agnes-ops, and may hold /out/lib/*.so and /out/certs/ca-certificates.crt.

FROM rust:1.95-bookworm AS build
WORKDIR /src
RUN apt-get update \
 && apt-get install --yes --no-install-recommends cmake \
 && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cargo build --release --locked --package agnesd --package agnes-ops --features agnesd/bundled \
 && mkdir -p /out/certs \
 && cp target/release/agnesd target/release/agnes-ops /out/ \
 && cp /etc/ssl/certs/ca-certificates.crt /out/certs/

FROM ${BIN_STAGE} AS bin

FROM debian:bookworm-slim
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="agnes" \
      org.opencontainers.image.description="The Agnes API server, and the files of its host" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
# nothing runs here, for the base may have no shell; a name with a star may be absent
COPY --from=bin /out/certs* /etc/ssl/certs/
COPY docker-compose.yml docker-compose.*.yml /usr/share/agnes/host/
COPY caddy/ /usr/share/agnes/host/caddy/
COPY monitoring/ /usr/share/agnes/host/monitoring/
COPY systemd/ /usr/share/agnes/host/systemd/
COPY templates/ /usr/share/agnes/host/templates/
# what a new volume at /data begins with: the server's own, and nobody else's
COPY --chown=999:999 image/data/ /data/
COPY --from=bin /out/agnes-ops /usr/share/agnes/host/
# the program finds a library beside itself
COPY --from=bin /out/agnesd /out/lib* /usr/lib/agnes/
ENV PATH=/usr/lib/agnes:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    AGNES_DIR=/opt/agnes \
    AGNES_LISTEN=0.0.0.0:8000 \
    DATA_DIR=/data \
    STATE_DIR=/data/state
USER 999:999
WORKDIR /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/lib/agnes/agnesd", "health"]
ENTRYPOINT ["/usr/lib/agnes/agnesd"]
CMD ["serve"]
