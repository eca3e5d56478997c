# syntax=docker/dockerfile:1

# One Debian release for both stages, by name: a binary linked against a newer glibc does not start on an older one.
ARG DEBIAN=trixie

FROM rust:1.95-slim-${DEBIAN} AS build
# The image's gcc is enough: aws-lc-sys, the cryptography under rustls, builds with a C compiler alone on x86_64 and aarch64 Linux. It falls back
# to cmake only without one, or when asked to (AWS_LC_SYS_CMAKE_BUILDER, FIPS, no assembler).
WORKDIR /src
# .dockerignore says which files come in. `.ci/run` runs the cargo command below with exactly these files.
COPY . .
# The caches outlive a change of the source, so that only Heardback itself is built again. A cache mount is not in the image: hence the copy.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked \
    && cp target/release/heardback /usr/local/bin/heardback

FROM debian:${DEBIAN}-slim
# rustls takes its roots from the system: without them no feedback can be posted.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
# A fixed number, for the files of the volume belong to it: never change it after the first deploy. Fly hands the root of a volume to
# the image's USER; elsewhere a new volume takes its owner from /data here.
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
# Exec form: a shell in between would swallow SIGTERM. Fly's init is PID 1 there; with plain Docker, `docker run --init` does its work.
ENTRYPOINT ["heardback"]
CMD ["serve"]
