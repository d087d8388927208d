# Built in stages: a full toolchain to compile, a small base to run. Any user id works, as OpenShift gives one at random.
FROM docker.io/library/rust:1.95-slim-bookworm AS build
WORKDIR /src
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY Cargo.toml Cargo.lock LICENSE ./
COPY api api
COPY lab lab
COPY fuzz fuzz
COPY testkit testkit
# Not compiled, but the manifest names those with a harness of their own.
COPY tests tests
COPY src src
COPY scenarios scenarios
COPY providers.example.toml ./
RUN cargo build --release --locked --bin mtv-test

# distroless/cc has glibc, CA certificates and nothing else: no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/mtv-test /usr/local/bin/mtv-test
COPY --from=build /src/scenarios /usr/share/mtv-test/scenarios
COPY --from=build /src/providers.example.toml /src/LICENSE* /usr/share/mtv-test/
# Results go to /results: mount a volume there that the pod's user may write.
ENV MTV_TEST_RESULTS_DIR=/results
WORKDIR /work
USER 1001
ENTRYPOINT ["/usr/local/bin/mtv-test"]
CMD ["list"]
