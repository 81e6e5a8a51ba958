# syntax=docker/dockerfile:1

# The gateway's image. Each platform builds natively; nothing here knows which one it is:
#   docker buildx build --platform linux/amd64,linux/arm64 \
#     --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" --tag zendesk-gateway:0.1.0 .
# The embedded stand-in is left out. A demo cluster's image has it: --build-arg FEATURES=sandbox --tag zendesk-gateway:0.1.0-sandbox

FROM docker.io/library/rust:1.95-slim-bookworm AS build
# The C compiler is for the TLS library, aws-lc.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc g++ libc6-dev make cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches benches
COPY proto proto
COPY src src
COPY stand-in stand-in
ARG FEATURES=""
RUN cargo build --profile dist --locked --package zendesk-gateway --no-default-features --features "$FEATURES" --bin zendesk-gateway

# glibc, the authorities' certificates and time zones; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="zendesk-gateway" \
      org.opencontainers.image.description="gRPC gateway for Zendesk users, groups and group memberships" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /build/target/dist/zendesk-gateway /usr/local/bin/zendesk-gateway
USER 65532:65532
# No settings here: the environment would override the file that the chart mounts.
EXPOSE 50051 9090
ENTRYPOINT ["/usr/local/bin/zendesk-gateway"]
CMD ["serve"]
