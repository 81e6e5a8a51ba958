# syntax=docker/dockerfile:1

# The gateway's image, cross-compiled: the compilers run on the machine's own platform whatever they build for.
#   docker buildx build --platform linux/amd64,linux/arm64 \
#     --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" --tag zendesk-gateway:0.1.0 .
# `.ci/release` gives the base images by digest.
# The embedded stand-in is left out. A demo cluster's image has it: --build-arg FEATURES=sandbox --tag zendesk-gateway:0.1.0-sandbox
# The symbols for a debugger or for addresses in a backtrace: --target symbols --output .

ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM --platform=$BUILDPLATFORM $RUST_IMAGE AS build
ARG TARGETARCH
# C compilers: for this platform, as build scripts run here, and for the image's, as the TLS library, aws-lc, is C.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev make cmake "crossbuild-essential-$TARGETARCH" \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# The image's platform in the words of the compilers. Addresses that are known relative to the binary are packed, which glibc reads
# from 2.36 on, that of the base image: without it they take 0.7 MB. As much take AES-GCM's variants for AVX-512, which encrypt
# gigabytes a second where the others encrypt half of that: they are left out by the name that the TLS library has for this.
RUN case "$TARGETARCH" in amd64) echo x86_64 ;; arm64) echo aarch64 ;; *) echo "no image for $TARGETARCH" >&2; exit 1 ;; esac > cpu \
    && mkdir -p .cargo/ \
    && printf '[build]\ntarget = "%s-unknown-linux-gnu"\n[target.%s-unknown-linux-gnu]\nlinker = "%s-linux-gnu-gcc"\nrustflags = ["-Clink-arg=-Wl,-z,pack-relative-relocs"]\n[env]\nAWS_LC_SYS_CFLAGS = "-DMY_ASSEMBLER_IS_TOO_OLD_FOR_512AVX"\n' \
        "$(cat cpu)" "$(cat cpu)" "$(cat cpu)" > .cargo/config.toml
RUN rustup target add "$(cat cpu)-unknown-linux-gnu"
ARG FEATURES=""
# The dependencies alone, before empty crates: a layer that lasts until a manifest or the lock file changes.
COPY Cargo.toml Cargo.lock ./
COPY stand-in/Cargo.toml stand-in/
RUN mkdir -p benches src stand-in/src tests/it \
    && touch src/lib.rs tests/it/long.rs stand-in/src/lib.rs benches/cache.rs benches/compare.rs benches/hop.rs benches/instructions.rs benches/streams.rs benches/telemetry.rs \
    && echo 'fn main() {}' | tee build.rs > src/main.rs
RUN cargo build --profile dist --locked --package zendesk-gateway --no-default-features --features "kubernetes $FEATURES" --bin zendesk-gateway
COPY build.rs ./
COPY proto proto
COPY src src
COPY stand-in stand-in
# Cargo compares times, and those of the empty files are newer.
RUN touch build.rs src/lib.rs src/main.rs stand-in/src/lib.rs \
    && cargo build --profile dist --locked --package zendesk-gateway --no-default-features --features "kubernetes $FEATURES" --bin zendesk-gateway
# What a running gateway needs, and what a debugger needs, apart.
RUN built="target/$(cat cpu)-unknown-linux-gnu/dist/zendesk-gateway" objcopy="$(cat cpu)-linux-gnu-objcopy" \
    && "$objcopy" --only-keep-debug "$built" zendesk-gateway.debug \
    && "$objcopy" --strip-unneeded --add-gnu-debuglink=zendesk-gateway.debug "$built" zendesk-gateway

FROM scratch AS symbols
COPY --from=build /build/zendesk-gateway.debug /

# glibc, the authorities' certificates and time zones; no shell, no package manager.
FROM $BASE_IMAGE
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="zendesk-gateway" \
      org.opencontainers.image.description="gRPC gateway for Zendesk users, groups and group memberships" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /build/zendesk-gateway /usr/local/bin/zendesk-gateway
USER 65532:65532
# The allocator gives back what was freed after so many milliseconds, in place of 1,000: docs/security.md has the figures. The gateway's
# own settings are not here: the environment would override the file that the chart mounts.
ENV MIMALLOC_PURGE_DELAY=25
EXPOSE 50051 50052 9090
ENTRYPOINT ["/usr/local/bin/zendesk-gateway"]
CMD ["serve"]
