# syntax=docker/dockerfile:1

# Both stages use one named Debian release: a binary linked against a newer glibc does not start on an older one.
ARG DEBIAN=trixie

FROM rust:1.95-slim-${DEBIAN} AS build
# The image's gcc is enough: aws-lc-sys, the cryptography of rustls, needs only a C compiler on x86_64 and aarch64 Linux. It needs cmake
# only without a compiler, or with AWS_LC_SYS_CMAKE_BUILDER, FIPS or no assembler.
WORKDIR /src
# .dockerignore selects the files. `.ci/run` runs the cargo command below with exactly these files.
COPY . .
# The caches survive a change of the source, so only Heardback itself is built again. The copy is needed because a cache mount is not in the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked \
    && cp target/release/heardback /usr/local/bin/heardback

FROM debian:${DEBIAN}-slim
# rustls reads the root certificates of the system: without them no feedback can be posted.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
# A fixed uid, because it owns the files of the volume: never change it after the first deploy. Fly gives the root of a volume to
# the image's USER; on other platforms a new volume gets its owner from /data here.
RUN groupadd --gid 10001 heardback \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin heardback \
    && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /usr/local/bin/heardback /usr/local/bin/heardback
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/heardback/

ARG REVISION=unknown
LABEL org.opencontainers.image.title="heardback" \
      org.opencontainers.image.description="Tells Twilio which messages truly arrived" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"

USER 10001:10001
WORKDIR /data
# Mount a volume at /data: without one the store would be lost with the container, so `serve` refuses to start.
# [::] accepts IPv4 as well, and becomes 0.0.0.0 on a host without IPv6.
ENV HEARDBACK_STORE=sled:/data/heardback \
    HEARDBACK_LISTEN=[::]:8080
EXPOSE 8080
# Liveness, not readiness: a restart does not help against a full disk. A large store takes a while to open.
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m --retries=3 CMD ["heardback", "health"]
# Exec form, because a shell in between would not pass SIGTERM on. On Fly its init is PID 1; with plain Docker use `docker run --init`.
ENTRYPOINT ["heardback"]
CMD ["serve"]
