# The image of longhand-server, with the command longhand in it.
#
#   docker build -t longhand .                      with the default model
#   docker build -t longhand --build-arg WITH_MODEL=0 .   mount one at /models
#
# It runs as user 65532 and needs no root that can be written to. The engine
# starts the server itself, without a shell between them; Debian's shell is in
# the image. Inside the container the server listens on loopback until it is
# given an address and certificates: docs/operations.md, "Container".

ARG BASE_IMAGE=debian:trixie-slim
# Another one where packages come through a mirror with an authority of its own.
ARG BUILD_IMAGE=${BASE_IMAGE}

# --- what the programs are built from, and the programs
FROM ${BUILD_IMAGE} AS build
WORKDIR /src
# First what changes seldom.
COPY tools/common.sh tools/setup tools/get_model tools/
RUN tools/setup --no-model && rm -rf /var/lib/apt/lists/*
ARG WITH_MODEL=1
RUN mkdir -p /out/models && \
    if [ "$WITH_MODEL" = 1 ]; then \
      tools/get_model && cp -r models/. /out/models/; \
    fi
COPY CMakeLists.txt LICENSE ./
COPY cmake cmake
COPY proto proto
COPY core core
COPY server server
COPY client client
COPY tools tools
# Empty: as many as there are CPUs.
ARG JOBS=
RUN --mount=type=cache,target=/ccache \
    export LONGHAND_JOBS="${JOBS:-$(nproc)}" CCACHE_DIR=/ccache && \
    CXXFLAGS="-D_FORTIFY_SOURCE=3" LDFLAGS="-Wl,-z,relro,-z,now" \
    LONGHAND_CMAKE_OPTIONS="-DCMAKE_BUILD_TYPE=Release -DLONGHAND_BUILD_TESTS=OFF" \
    tools/build longhand-server longhand && \
    mkdir -p /out/bin && \
    strip -o /out/bin/longhand-server build/bin/longhand-server && \
    strip -o /out/bin/longhand build/bin/longhand && \
    tools/runtime_packages /out/bin/longhand-server /out/bin/longhand \
      > /out/packages.txt && cat /out/packages.txt

# --- Debian with the shared libraries of the programs, and the programs
FROM ${BASE_IMAGE} AS runtime
COPY --from=build /out/packages.txt /tmp/packages.txt
RUN apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
      --no-install-recommends $(cat /tmp/packages.txt) && \
    rm -rf /tmp/packages.txt /var/lib/apt/lists/* /var/cache/apt/* \
      /var/cache/debconf/* /var/log/apt /var/log/*.log && \
    echo 'longhand:x:65532:65532::/nonexistent:/usr/sbin/nologin' \
      >> /etc/passwd && \
    echo 'longhand:x:65532:' >> /etc/group && \
    mkdir -p /models /var/lib/longhand && \
    chown 65532:65532 /var/lib/longhand && chmod 0700 /var/lib/longhand
COPY --from=build /out/bin/ /usr/local/bin/
COPY --from=build /out/models/ /models/
COPY --from=build /src/LICENSE /usr/share/doc/longhand/LICENSE

# --- what is in it
FROM build AS bill
COPY --from=runtime /var/lib/dpkg /rootfs/var/lib/dpkg
COPY --from=runtime /etc/os-release /rootfs/etc/os-release
RUN tools/sbom --rootfs /rootfs --models /out/models \
      -o /out/longhand.spdx.json

FROM runtime
COPY --from=bill /out/longhand.spdx.json /usr/share/doc/longhand/

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="longhand-server" \
      org.opencontainers.image.description="Turns documents of any length into vectors over gRPC" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="debian:trixie-slim"

# Flags win over these; --help names a variable for each flag.
ENV LONGHAND_MODEL=/models/all-MiniLM-L6-v2 \
    LONGHAND_LOG_FORMAT=json
WORKDIR /var/lib/longhand
USER 65532:65532
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
# For engines without probes of their own; it asks over loopback and plaintext,
# so replace it where the server has certificates or another port.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 \
  CMD ["/usr/local/bin/longhand", "health", "--timeout", "5s"]
ENTRYPOINT ["/usr/local/bin/longhand-server"]
