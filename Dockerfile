ARG BUILDER=docker.io/library/golang:1.26
FROM ${BUILDER} AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOWORK=off
COPY proto/go.mod proto/go.sum proto/
COPY services/go.mod services/go.sum services/
RUN cd services && go mod download
COPY proto proto
COPY services services
ARG VERSION=devel
RUN cd services && go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/interlink ./cmd/interlink
RUN mkdir -p /out/data

# docker build --target operator: the operator of RealtimeGateway resources.
FROM ${BUILDER} AS build-operator
WORKDIR /src
ENV CGO_ENABLED=0 GOWORK=off
COPY operator/go.mod operator/go.sum operator/
RUN cd operator && go mod download
COPY operator operator
ARG VERSION=devel
RUN cd operator && go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/operator ./cmd/operator

FROM scratch AS operator
ARG VERSION=devel
LABEL org.opencontainers.image.title="Interlink operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build-operator /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build-operator /out/operator /operator
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/operator"]

# One program and the certificates that the system trusts: no shell, nothing to write to but /data, which only the
# embedded broker uses (no KAFKA_BROKERS).
FROM scratch AS interlink
ARG VERSION=devel
LABEL org.opencontainers.image.title="Interlink" \
      org.opencontainers.image.description="The live half of a Next.js application, over Socket.IO" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/interlink /interlink
COPY config/edu-matrix.yaml /edu-matrix.yaml
ENV INTERLINK_DATA_DIR=/data
VOLUME /data
USER 65532:65532
EXPOSE 3001 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=6s --start-period=60s --retries=3 CMD ["/interlink", "healthcheck"]
ENTRYPOINT ["/interlink"]
CMD ["serve"]
