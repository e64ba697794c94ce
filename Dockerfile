# The server: one static program and nothing else. No shell, no package manager, no root.

FROM rust:1.95-slim-trixie AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY src src
# The cache mounts keep downloaded crates and compiled dependencies between builds; the touch has cargo compile our own
# code again even if it is older than what was compiled last. A target has to be named, or +crt-static would also hold
# for procedural macros, which the compiler loads as shared libraries.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=threadlab-target,target=/src/target \
    target="$(uname -m)-unknown-linux-gnu" && \
    touch crates/*/src/lib.rs src/lib.rs src/main.rs && \
    RUSTFLAGS="-C target-feature=+crt-static" CARGO_PROFILE_RELEASE_STRIP=debuginfo \
    cargo build --release --locked --bin threadlab --target "$target" && \
    cp "target/$target/release/threadlab" /threadlab

FROM scratch AS threadlab
LABEL org.opencontainers.image.title="threadlab" \
      org.opencontainers.image.description="Shows where a server thread's time goes: busy, or waiting, and in which way" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /threadlab /threadlab
USER 65532:65532
EXPOSE 8000 9100
ENTRYPOINT ["/threadlab"]

# The nginx exporter's published image has nothing that could ask for its health.
FROM nginx/nginx-prometheus-exporter:1.5.1 AS nginx-exporter
COPY --from=build /threadlab /threadlab
