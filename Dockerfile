# The image contains one static binary and nothing else: no shell, no package manager, no root user.

FROM rust:1.95-slim-trixie AS build
# Cargo's profile. Compose uses `release`, which compiles faster.
ARG PROFILE=dist
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY src src
COPY docs docs
# The cache mounts keep downloaded crates and compiled dependencies between builds. `touch` makes cargo recompile our
# own code even if its files are older than the cached build. Without --target, +crt-static would also apply to
# procedural macros, which the compiler loads as shared libraries.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=threadlab-target,target=/src/target \
    target="$(rustc --print host-tuple)" && \
    touch crates/*/src/lib.rs src/lib.rs src/main.rs && \
    RUSTFLAGS="-C target-feature=+crt-static" CARGO_PROFILE_RELEASE_STRIP=debuginfo CARGO_INCREMENTAL=1 \
    cargo build --profile "$PROFILE" --locked --bin threadlab --target "$target" && \
    cp "target/$target/$PROFILE/threadlab" /threadlab

FROM scratch AS threadlab
LABEL org.opencontainers.image.title="threadlab" \
      org.opencontainers.image.description="Shows where a server thread's time goes: running, runnable, blocked, awaiting or idle" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /threadlab /threadlab
USER 65532:65532
EXPOSE 8000 9100
ENTRYPOINT ["/threadlab"]

# The published image of the nginx exporter has no HTTP client for a health check, so our binary is added.
FROM nginx/nginx-prometheus-exporter:1.5.1 AS nginx-exporter
COPY --from=build /threadlab /threadlab
