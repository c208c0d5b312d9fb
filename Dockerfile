# One image a service, from one build: `docker build --target users .`, likewise orders and gateway.

FROM rust:1.95-slim-trixie AS build
WORKDIR /src

# The dependencies, in a layer that lasts until a manifest changes.
COPY Cargo.toml Cargo.lock ./
COPY common/Cargo.toml common/
COPY users/Cargo.toml users/
COPY orders/Cargo.toml orders/
COPY gateway/Cargo.toml gateway/
COPY tests/Cargo.toml tests/
RUN mkdir -p common/src users/src orders/src gateway/src tests/src tests/system tests/conformance \
 && touch common/src/lib.rs users/src/lib.rs orders/src/lib.rs gateway/src/lib.rs tests/src/lib.rs \
 && for main in users/src gateway/src orders/src tests/src tests/system tests/conformance; do echo 'fn main() {}' >$main/main.rs; done \
 && cargo build --locked --profile dist -p users -p orders -p gateway

COPY common common
COPY users users
COPY orders orders
COPY gateway gateway
# Newer than the stubs that they take the place of.
RUN find common users orders gateway -name '*.rs' -exec touch {} + \
 && cargo build --locked --profile dist -p users -p orders -p gateway

FROM debian:trixie-slim AS runtime
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin warren \
 && install -d -o warren -g warren /data
# Inside a container the network is the container's own.
ENV HOST=0.0.0.0 DATA_DIR=/data
USER warren

FROM runtime AS users
COPY --from=build /src/target/dist/users /usr/local/bin/users
EXPOSE 3001
VOLUME /data
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["users", "--health"]
ENTRYPOINT ["users"]

FROM runtime AS orders
COPY --from=build /src/target/dist/orders /usr/local/bin/orders
EXPOSE 3002
VOLUME /data
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["orders", "--health"]
ENTRYPOINT ["orders"]

FROM runtime AS gateway
COPY --from=build /src/target/dist/gateway /usr/local/bin/gateway
EXPOSE 8080 8081
VOLUME /data
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["gateway", "--health"]
ENTRYPOINT ["gateway"]
