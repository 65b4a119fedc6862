# Both images of this repository, for amd64 and arm64, each nothing but static programs on an empty file system:
#
#   docker build --target operator --tag ghcr.io/tradingbot-io/tradingbot-operator:0.1.0 .
#   docker build --target demo --tag ghcr.io/tradingbot-io/tradingbot-demo:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 --target programs --output type=local,dest=programs .
#
# Compilers run on the machine's own processor, also for the other one. `make images` reads the final stages from this
# file (images/layout), so the test cluster runs what is written here.

ARG RUST=1.95
ARG VERSION=0.1.0

FROM --platform=$BUILDPLATFORM docker.io/library/rust:$RUST-slim-bookworm AS compile
ARG TARGETARCH
RUN case $TARGETARCH in amd64) cpu=x86_64 ;; arm64) cpu=aarch64 ;; *) echo "no images for $TARGETARCH" >&2; exit 1 ;; esac \
 && echo "$cpu-unknown-linux-gnu" >/target \
 && rustup target add "$(cat /target)" \
 && if [ "$(dpkg --print-architecture)" != "$TARGETARCH" ]; then \
      apt-get update \
      && apt-get install --yes --no-install-recommends "gcc-$(echo "$cpu" | tr _ -)-linux-gnu" "libc6-dev-$TARGETARCH-cross" \
      && rm -rf /var/lib/apt/lists/*; \
    fi
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,id=tradingbot-target-$TARGETARCH,sharing=locked \
    images/compile "$(cat /target)" /out && images/sizes /out

# All programs, to be written to a folder with --output: plugin/kubectl-tradingbot is the command for people.
FROM scratch AS programs
COPY --from=compile /out/ /

FROM scratch AS demo
ARG VERSION
LABEL org.opencontainers.image.title="tradingbot-demo"
LABEL org.opencontainers.image.description="A paper exchange and a paper bot to try the operator with"
LABEL org.opencontainers.image.source="https://github.com/tradingbot-io/tradingbot-operator"
LABEL org.opencontainers.image.licenses="Apache-2.0"
LABEL org.opencontainers.image.version="$VERSION"
COPY --from=compile /out/demo/ /
ENV PATH=/
WORKDIR /
USER 65532:65532

# The last stage is what `docker build .` makes.
FROM scratch AS operator
ARG VERSION
LABEL org.opencontainers.image.title="tradingbot-operator"
LABEL org.opencontainers.image.description="A Kubernetes operator that lets exactly one trading bot trade, and the programs for its pods"
LABEL org.opencontainers.image.source="https://github.com/tradingbot-io/tradingbot-operator"
LABEL org.opencontainers.image.licenses="Apache-2.0"
LABEL org.opencontainers.image.version="$VERSION"
COPY --from=compile /out/operator/ /
ENV PATH=/
WORKDIR /
USER 65532:65532
ENTRYPOINT ["/tradingbot-operator"]
